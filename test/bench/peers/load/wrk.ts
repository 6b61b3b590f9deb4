import type { Bench } from '../bench.ts';
import { LoadFailed } from '../rounds.ts';

/** Keep-alive HTTP/1.1 as fast as it goes (closed loop). */
export interface WrkLoad {
  readonly url: string;
  readonly connections: number;
  /** `name: value`. */
  readonly headers?: readonly string[];
}

/** Requests that were answered with 2xx or 3xx within `seconds`; any other outcome of any request fails the load. */
export async function wrk(
  bench: Bench,
  { url, connections, headers = [] }: WrkLoad,
  seconds: number,
): Promise<number> {
  const args = ['-t', '1', '-c', `${connections}`, '-d', `${seconds}s`, '--timeout', '10s'];
  for (const header of headers) args.push('-H', header);
  const process = bench.startBeside(bench.programs.command('wrk'), [...args, url]);
  const code = await process.exited;
  if (code !== 0) throw new LoadFailed(`wrk ended with ${code}: ${process.output.trim()}`);
  return parseWrk(process.stdout);
}

/** @throws {LoadFailed} */
export function parseWrk(output: string): number {
  const socketErrors = /Socket errors: (.*)/.exec(output)?.[1];
  if (socketErrors !== undefined) throw new LoadFailed(`socket errors: ${socketErrors}`);
  const refused = /Non-2xx or 3xx responses: (\d+)/.exec(output)?.[1];
  if (refused !== undefined) throw new LoadFailed(`${refused} answers that are not 2xx or 3xx`);
  const requests = /(\d+) requests in /.exec(output)?.[1];
  if (requests === undefined) throw new LoadFailed(`wrk said: ${output.trim()}`);
  return Number(requests);
}
