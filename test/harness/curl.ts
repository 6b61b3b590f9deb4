import { spawnSync } from 'node:child_process';
import type { Test } from 'tap';
import { type ProgramRun, succeeds } from './run-program.ts';

export const noCurlWithHttp2 = () =>
  /\bHTTP2\b/.test(spawnSync('curl', ['--version'], { encoding: 'utf8' }).stdout ?? '')
    ? false
    : 'curl with HTTP/2 is not installed';

/** Runs curl, silent but for errors, which must not be. */
export function curlWithHttp2(
  t: Test,
  args: readonly string[],
  input?: string | Uint8Array,
): Promise<ProgramRun> {
  return succeeds(t, 'curl', ['-sS', '--max-time', '25', ...args], input);
}
