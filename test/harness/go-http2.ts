import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inherited, NodeProcess, ROOT } from './node-process.ts';
import { runProgram } from './run-program.ts';

/** `http.Protocols` is of Go 1.24, `WaitGroup.Go` of 1.25. */
const MINOR_MIN = 25;

export function noGo(): string | false {
  const { stdout } = spawnSync('go', ['env', 'GOVERSION'], { encoding: 'utf8', env: ENV });
  const minor = Number(/^go1\.(\d+)/.exec(stdout ?? '')?.[1] ?? 0);
  return minor >= MINOR_MIN ? false : `no Go 1.${MINOR_MIN} or later here`;
}

/** Nothing is fetched. */
const ENV = { ...inherited(), GOTOOLCHAIN: 'local', GOPROXY: 'off', GOFLAGS: '' };

/** What `go-http2.go` found of an app. */
export interface GoFindings {
  readonly app: string;
  readonly version: string;
  readonly status: number;
  readonly spoken: string;
  readonly text: string;
  readonly echoed: boolean;
  readonly trailer: string;
  /** Of 500 requests at once, those that were answered. */
  readonly atOnce: number;
  /** Of 100 downloads that were cancelled, those that had begun with 200. */
  readonly cancelled: number;
  /** Status of a request after those. */
  readonly after: number;
}

export interface GoHttp2 {
  ask(origin: string, authorityFile: string, apps: readonly string[]): Promise<GoFindings[]>;
  serve(): Promise<{ readonly port: number; stop(): Promise<number> }>;
  remove(): void;
}

/** `go-http2.go`, built. */
export async function goHttp2(): Promise<GoHttp2> {
  const directory = mkdtempSync(join(tmpdir(), 'weft-go-'));
  const program = join(directory, 'go-http2');
  const source = join(ROOT, 'test/harness/go-http2.go');
  const build = new NodeProcess(['build', '-o', program, source], {
    command: 'go',
    env: ENV,
    cwd: directory,
  });
  if ((await build.exited) !== 0) throw new Error(build.output);
  return {
    ask: async (origin, authorityFile, apps) => {
      const run = await runProgram(program, ['ask', origin, authorityFile, ...apps]);
      if (run.code !== 0) throw new Error(run.stderr);
      const lines = run.stdout.trimEnd().split('\n');
      return lines.map((line) => JSON.parse(line) as GoFindings);
    },
    serve: async () => {
      const server = new NodeProcess(['serve'], { command: program });
      const [, port] = await server.seen(/^(\d+)$/m);
      return { port: Number(port), stop: () => server.stop() };
    },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}
