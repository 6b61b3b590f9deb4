import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from '../bench.ts';
import { LoadFailed } from '../rounds.ts';

/** HTTP/2 with prior knowledge, or HTTP/1.1. */
export interface H2Load {
  readonly url: string;
  readonly connections: number;
  /** Requests under way on each connection. */
  readonly streams: number;
  readonly http1?: boolean;
  readonly headers?: readonly string[];
  /** POST with what this file holds. */
  readonly bodyFile?: string;
  /** What the bodies of good answers have at least: an error of gRPC has status 200 too, but no body. */
  readonly answerBytesMin?: number;
}

/** As many requests as it goes (closed loop): those answered with 2xx. Any other outcome of any request fails the load. */
export async function h2load(bench: Bench, load: H2Load, seconds: number): Promise<number> {
  return run(bench, load, ['-D', `${seconds}`]);
}

/**
 * A fixed rate over all connections, whether answers come or not (open loop): the milliseconds until the end of each
 * answer, in no order.
 */
export async function h2loadAtRate(
  bench: Bench,
  load: H2Load,
  seconds: number,
  requestsPerSecond: number,
): Promise<number[]> {
  const log = join(bench.directory, `h2load-${process.hrtime.bigint()}.log`);
  try {
    const perConnection = requestsPerSecond / load.connections;
    const args = ['-D', `${seconds}`, '--rps', `${perConnection}`, `--log-file=${log}`];
    await run(bench, load, args);
    return parseLatencies(readFileSync(log, 'utf8'));
  } finally {
    rmSync(log, { force: true });
  }
}

async function run(bench: Bench, load: H2Load, extra: readonly string[]): Promise<number> {
  const args = ['-t', '1', '-c', `${load.connections}`, '-m', `${load.streams}`, ...extra];
  if (load.http1 === true) args.push('--h1');
  if (load.bodyFile !== undefined) args.push('-d', load.bodyFile);
  for (const header of load.headers ?? []) args.push('-H', header);
  const process = bench.startBeside(bench.programs.command('h2load'), [...args, load.url]);
  const code = await process.exited;
  if (code !== 0) throw new LoadFailed(`h2load ended with ${code}: ${process.output.trim()}`);
  return parseH2load(process.output, load);
}

/** @throws {LoadFailed} */
export function parseH2load(
  output: string,
  { connections, streams, answerBytesMin = 0 }: Omit<H2Load, 'url'>,
): number {
  const counts =
    /requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout\nstatus codes: (\d+) 2xx/.exec(
      output,
    );
  if (counts === null) throw new LoadFailed(`h2load said: ${output.trim()}`);
  const [done, succeeded, failed, errored, timedOut, answered2xx] = counts.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (failed + errored + timedOut > 0) {
    throw new LoadFailed(`${failed} requests failed, ${errored} errors, ${timedOut} timeouts`);
  }
  // A connection that could not be made is in none of the counts.
  if (/connect\(\) failed|Client could not connect|HTTP parse error/i.test(output)) {
    throw new LoadFailed(`h2load said: ${output.trim()}`);
  }
  if (answered2xx < succeeded) {
    throw new LoadFailed(`${done - answered2xx} answers that are not 2xx`);
  }
  const bodyBytes = Number(/\((\d+)\) data$/m.exec(output)?.[1] ?? 0);
  // What arrives before the last connection is up belongs to a warm-up of no length, and is counted as an answer only.
  const countedMin = answered2xx - connections * streams;
  if (bodyBytes < countedMin * answerBytesMin) {
    throw new LoadFailed(
      `${bodyBytes} bytes of bodies in ${answered2xx} answers that have ${answerBytesMin} each`,
    );
  }
  return answered2xx;
}

/** Lines of `start (µs since 1970), status, duration (µs)`. @throws {LoadFailed} where a status is not 2xx */
export function parseLatencies(log: string): number[] {
  return log
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [, status = '', us = ''] = line.split('\t');
      if (!status.startsWith('2')) throw new LoadFailed(`an answer with status ${status}`);
      return Number(us) / 1000;
    });
}
