import t, { type Test } from 'tap';
import { conformsToH2spec, noH2spec } from '../harness/h2spec.ts';
import { NodeProcess } from '../harness/node-process.ts';
import { tlsFiles } from '../harness/tls-files.ts';

/**
 * The HTTP/2 conformance suite h2spec, all cases and strict, against the server role of the codec, in clear text and
 * over TLS.
 */

t.setTimeout(200_000);

async function conforms(
  t: Test,
  serverArgs: readonly string[],
  h2specArgs: readonly string[],
): Promise<void> {
  const server = new NodeProcess(['test/harness/h2-server.ts', ...serverArgs]);
  t.teardown(() => server.stop());
  const [, port] = await server.seen(/^(\d+)$/m);
  await conformsToH2spec(t, Number(port), h2specArgs);
  t.equal(server.exitCode, undefined, `the server lives on:\n${server.stderr}`);
}

t.test('h2spec, strict, in clear text', { skip: noH2spec() }, (t) => conforms(t, [], []));

t.test('h2spec, strict, over TLS with ALPN h2', { skip: noH2spec() }, async (t) => {
  const files = await tlsFiles();
  t.teardown(() => files.remove());
  await conforms(t, ['--tls', files.certificate, files.privateKey], ['--tls', '--insecure']);
});
