import type { Test } from 'tap';
import { NodeProcess } from './node-process.ts';
import { hasProgram } from './program.ts';

/**
 * The HTTP/2 conformance suite h2spec: `$WEFT_H2SPEC`, else `h2spec` on PATH. It is built with
 * `go install github.com/summerwind/h2spec/cmd/h2spec@latest`.
 */
const H2SPEC = process.env['WEFT_H2SPEC'] ?? 'h2spec';

export const noH2spec = () =>
  hasProgram(H2SPEC)
    ? false
    : 'h2spec is not installed: set WEFT_H2SPEC to the program or put it on PATH';

/** h2spec 2.2.1 has 146 cases, later ones 147. */
const CASES_MIN = 146;

/** All cases, strict, against the server at a port of 127.0.0.1: each passes but those of `failing`, none is skipped. */
export async function conformsToH2spec(
  t: Test,
  port: number,
  args: readonly string[],
  failing: readonly string[] = [],
): Promise<void> {
  const suite = new NodeProcess(
    ['--strict', '--host', '127.0.0.1', '--port', `${port}`, '--timeout', '5', ...args],
    { command: H2SPEC },
  );
  t.teardown(() => suite.stop());
  const exitCode = await suite.exited;
  const summary = /(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed/.exec(suite.stdout);
  if (summary === null) t.fail(`no summary:\n${suite.output.slice(-2000)}`);
  const [, tests, passed, skipped] = (summary ?? []).map(Number);
  const failures = suite.stdout.slice(suite.stdout.indexOf('Failures:'));
  const failed = [...failures.matchAll(/^ +× \d+: (.+)$/gm)].map(([, name]) => name);
  t.same(failed, failing, failures.slice(0, 2000));
  t.equal(skipped, 0);
  t.equal(passed, tests! - failing.length);
  t.ok(tests! >= CASES_MIN, `${tests} cases`);
  t.equal(exitCode, failing.length > 0 ? 1 : 0);
}
