import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { makeAuthority } from '../certificates.ts';
import { NodeProcess } from '../harness/node-process.ts';
import { hasProgram } from '../harness/program.ts';

/**
 * The HTTP/2 conformance suite h2spec, all cases and strict, against the server role of the codec, in clear text and
 * over TLS. The program is `$WEFT_H2SPEC`, else `h2spec` on PATH; it is built with
 * `go install github.com/summerwind/h2spec/cmd/h2spec@latest`.
 */

t.setTimeout(200_000);

const H2SPEC = process.env['WEFT_H2SPEC'] ?? 'h2spec';
const skip = hasProgram(H2SPEC)
  ? false
  : 'h2spec is not installed: set WEFT_H2SPEC to the program or put it on PATH';
/** h2spec 2.2.1 has 146 cases, later ones 147. */
const CASES_MIN = 146;

async function conforms(
  t: Test,
  serverArgs: readonly string[],
  h2specArgs: readonly string[],
): Promise<void> {
  const server = new NodeProcess(['test/harness/h2-server.ts', ...serverArgs]);
  t.teardown(() => server.stop());
  const [, port] = await server.seen(/^(\d+)$/m);
  const suite = new NodeProcess(
    ['--strict', '--host', '127.0.0.1', '--port', port!, '--timeout', '5', ...h2specArgs],
    { command: H2SPEC },
  );
  t.teardown(() => suite.stop());
  const exitCode = await suite.exited;
  const summary = /(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed/.exec(suite.stdout);
  if (summary === null) t.fail(`no summary:\n${suite.output.slice(-2000)}`);
  const [, tests, passed, skipped, failed] = (summary ?? []).map(Number);
  t.equal(failed, 0, suite.output.slice(suite.output.indexOf('Failures:')));
  t.equal(skipped, 0);
  t.equal(passed, tests);
  t.ok(tests! >= CASES_MIN, `${tests} cases`);
  t.equal(exitCode, 0);
  t.equal(server.exitCode, undefined, `the server lives on:\n${server.stderr}`);
}

t.test('h2spec, strict, in clear text', { skip }, (t) => conforms(t, [], []));

t.test('h2spec, strict, over TLS with ALPN h2', { skip }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'weft-h2spec-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const authority = await makeAuthority();
  const { certificatePem, privateKeyPem } = await authority.issue({ ip: ['127.0.0.1'] });
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  writeFileSync(cert, certificatePem);
  writeFileSync(key, privateKeyPem);
  await conforms(t, ['--tls', cert, key], ['--tls', '--insecure']);
});
