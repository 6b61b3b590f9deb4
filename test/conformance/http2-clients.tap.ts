import { spawnSync } from 'node:child_process';
import http2 from 'node:http2';
import t from 'tap';
import { NodeProcess } from '../harness/node-process.ts';
import { hasProgram } from '../harness/program.ts';

/** Foreign HTTP/2 clients against the server role of the codec, by prior knowledge. */

t.setTimeout(120_000);

const server = new NodeProcess(['test/harness/h2-server.ts']);
t.teardown(() => server.stop());
const [, port] = await server.seen(/^(\d+)$/m);
const origin = `http://127.0.0.1:${port}`;

function run(command: string, args: readonly string[], input = ''): string {
  const { stdout, stderr, status } = spawnSync(command, args, {
    encoding: 'utf8',
    input,
    maxBuffer: 1 << 24,
  });
  t.equal(status, 0, `${command} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

const curlMakesHttp2 = /\bHTTP2\b/.test(
  spawnSync('curl', ['--version'], { encoding: 'utf8' }).stdout ?? '',
);
const noCurl = curlMakesHttp2 ? false : 'curl with HTTP/2 is not installed';
const noNghttp = hasProgram('nghttp') ? false : 'nghttp is not installed (Debian: nghttp2-client)';
const noH2load = hasProgram('h2load') ? false : 'h2load is not installed (Debian: nghttp2-client)';

t.test('curl gets a response and uploads a body', { skip: noCurl }, async (t) => {
  const curl = ['-sS', '--http2-prior-knowledge', '--max-time', '20'];
  t.equal(
    run('curl', [...curl, '-w', '%{http_version} %{http_code}', `${origin}/`]),
    'hello, world\n2 200',
  );
  const body = 'abc'.repeat(400_000);
  t.equal(run('curl', [...curl, '--data-binary', '@-', origin], body), body);
});

t.test(
  'nghttp gets several resources on one connection, with padding and small windows',
  { skip: noNghttp },
  async (t) => {
    const paths = ['/bytes/70000', '/bytes/1', '/bytes/200000'].map((path) => origin + path);
    const out = run('nghttp', ['-b', '255', '-w', '10', '-W', '12', '-t', '20', ...paths]);
    t.equal(out.length, 270_001);
  },
);

t.test(
  'h2load: 10,000 requests on four connections, 32 at once, all succeed',
  { skip: noH2load },
  async (t) => {
    const out = run('h2load', ['-n', '10000', '-c', '4', '-m', '32', `${origin}/bytes/1024`]);
    t.match(out, /10000 succeeded, 0 failed, 0 errored, 0 timeout/);
  },
);

t.test(
  '[A2.8] node:http2: 20,000 calls of which every other is cancelled at once are no flood',
  async (t) => {
    const session = http2.connect(origin);
    t.teardown(() => session.destroy());
    session.on('goaway', (code) => t.fail(`GOAWAY ${code}`));
    const call = (cancel: boolean) =>
      new Promise<string>((resolve) => {
        const stream = session.request({ ':path': '/bytes/1' });
        let text = '';
        stream.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        stream.on('error', () => {});
        stream.on('close', () => resolve(text));
        if (cancel) stream.close(http2.constants.NGHTTP2_CANCEL);
      });
    let [made, answered] = [0, 0];
    const caller = async () => {
      while (made < 20_000) {
        const cancel = made++ % 2 === 1;
        const text = await call(cancel);
        if (!cancel && text === 'x') answered++;
      }
    };
    await Promise.all(Array.from({ length: 200 }, caller));
    t.equal(answered, 10_000);
  },
);

t.test(
  '[A2.8] h2load: 256 streams at once with small windows: a WINDOW_UPDATE for every frame',
  { skip: noH2load },
  async (t) => {
    // Windows of 16 KiB for a stream and 128 KiB for the connection, 20 KiB a response.
    const args = ['-n', '20000', '-c', '2', '-m', '256', '-w', '14', '-W', '17'];
    const out = run('h2load', [...args, `${origin}/bytes/20000`]);
    t.match(out, /20000 succeeded, 0 failed, 0 errored, 0 timeout/);
  },
);
