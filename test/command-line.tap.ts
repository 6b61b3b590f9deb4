import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { ControlPlane } from './harness/control-plane.ts';
import { NodeProcess, ROOT } from './harness/node-process.ts';
import { until } from './harness/until.ts';

/** kubectl's and istioctl's manners of the command line: exit codes, outputs, and what it says when things go wrong. */

t.setTimeout(200_000);

const CLI = join(ROOT, 'cli/main.ts');
const policy = (name: string) => join(ROOT, 'examples/bookinfo/policies', name);

function weft(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8' });
}

t.test('usage: help is no error, a misspelt word is 64 and names the right one', async (t) => {
  const help = weft();
  t.equal(help.status, 0);
  t.match(help.stdout, /^Usage: weft /);
  t.match(weft('aply'), { status: 64, stderr: /Did you mean apply\?/ });
  t.match(weft('get', '--namspace', 'x', 'vs'), {
    status: 64,
    stderr: /Did you mean --namespace\?/,
  });
  t.match(weft('get', '-o', 'xml', 'vs'), { status: 64, stderr: /table, wide, yaml, json, name/ });
  t.match(weft('apply', 'file.yaml'), { status: 64, stderr: /too many arguments/ });
  t.match(weft('get', 'vs', 'x', '-l', 'a=b'), { status: 64, stderr: /do not go together/ });
  t.match(weft('get', 'vs/'), { status: 64, stderr: /vs\/ is not kind\/name/ });
  t.match(weft('control-plane', '--bogus'), { status: 64, stderr: /--bogus/ });
  t.match(weft('proxy', '--bogus'), { status: 64, stderr: /--bogus/ });
});

t.test(
  'a server that is away is 1, for diff 2: there 1 means that something differs',
  async (t) => {
    const away = ['--server', 'http://127.0.0.1:1'];
    t.match(weft('get', 'vs', ...away), { status: 1, stderr: /weft control-plane/ });
    t.equal(weft('apply', '-f', policy('all-v1.yaml'), ...away).status, 1);
    t.equal(weft('delete', '-f', policy('all-v1.yaml'), ...away).status, 1);
    t.equal(weft('diff', '-f', policy('all-v1.yaml'), ...away).status, 2);
    t.equal(weft('diff', '-f', policy('misspelt.yaml'), ...away).status, 65);
    t.match(weft('version', ...away), { status: 0, stdout: /^client version: v/ });
  },
);

t.test(
  'a server that is another program, or breaks off, is said so, without a stack',
  async (t) => {
    const other = createServer((request, response) => {
      if (request.url === '/weft/v1/proxies') {
        response.writeHead(200, { 'content-length': '1000' }).write('{"items":');
        setImmediate(() => response.destroy());
      } else response.end('<html>');
    });
    const { port } = await listening(other);
    t.teardown(() => other.close());
    const server = ['--server', `http://127.0.0.1:${port}`];
    const html = new NodeProcess([CLI, 'get', 'vs', ...server]);
    t.equal(await html.exited, 1);
    t.match(html.stderr, /is not the control plane's configuration API/);
    t.notMatch(html.stderr, /^ +at /m);
    const cut = new NodeProcess([CLI, 'proxy-status', ...server]);
    t.equal(await cut.exited, 1);
    t.match(cut.stderr, /does not answer at/);
  },
);

t.test('what a sidecar says of itself cannot move the cursor of the terminal [A7.3]', async (t) => {
  const proxies = {
    items: [
      {
        id: 'x',
        name: 'x\u001b[2J.default',
        cluster: 'c',
        controlPlane: 'p',
        version: '1',
        types: [{ type: 'RDS', status: 'ERROR', error: 'line one\nline\u001b[2J two' }],
      },
    ],
  };
  const server = createServer((_request, response) => response.end(JSON.stringify(proxies)));
  const { port } = await listening(server);
  t.teardown(() => server.close());
  const status = new NodeProcess([CLI, 'ps', '--server', `http://127.0.0.1:${port}`]);
  t.equal(await status.exited, 0);
  t.notMatch(status.stdout, /\u001b/);
  t.match(status.stdout, /refused RDS: line one\nline\\x1b\[2J two\n/);
  const yaml = new NodeProcess([CLI, 'ps', '-o', 'yaml', '--server', `http://127.0.0.1:${port}`]);
  t.equal(await yaml.exited, 0);
  t.notMatch(yaml.stdout, /\u001b/);
  t.match(yaml.stdout, /^ {4,8}status: ERROR$/m);
});

t.test('get, apply, delete and token with a control plane', async (t) => {
  const controlPlane = await ControlPlane.start();
  t.teardown(() => controlPlane.stop());
  const api = ['--server', controlPlane.api];
  t.equal(weft('apply', '-f', policy('all-v1.yaml'), ...api).status, 0);

  t.test('colours are for terminals, or as FORCE_COLOR and NO_COLOR say', async (t) => {
    const diff = (env: NodeJS.ProcessEnv) =>
      spawnSync(process.execPath, [CLI, 'diff', '-f', policy('reviews-90-10.yaml'), ...api], {
        encoding: 'utf8',
        env: { PATH: process.env['PATH'], ...env },
      }).stdout;
    t.notMatch(diff({}), /\u001b/);
    t.match(diff({ FORCE_COLOR: '1' }), /\u001b\[32m\+ +weight: 90/);
    t.notMatch(diff({ NO_COLOR: '1' }), /\u001b/);
  });

  t.test('get takes kind/name, several kinds, -o wide and --no-headers', async (t) => {
    const { stdout } = weft('get', 'vs/reviews', 'vs/details', '--no-headers', ...api);
    t.match(stdout, /^reviews .*\ndetails .*\n$/);
    const wide = weft('get', 'vs', '-o', 'wide', '-A', ...api);
    t.match(wide.stdout, /^NAMESPACE {3}NAME {10}GATEWAYS {3}HOSTS {13}AGE\ndefault {5}details /);
    t.match(weft('get', 'all', ...api).stdout, /^virtualservice\.networking\.istio\.io\/details /m);
  });

  t.test('objects that are not there leave standard output empty', async (t) => {
    const one = weft('get', 'vs', 'nope', '-o', 'json', ...api);
    t.match(one, { status: 1, stdout: '', stderr: /^Error from server \(NotFound\): .*"nope"/ });
    const two = weft('get', 'vs', 'reviews', 'nope', ...api);
    t.match(two, { status: 1, stdout: /^NAME.*\nreviews /, stderr: /NotFound/ });
    t.notMatch(weft('get', 'vs', 'a', 'b', ...api).stderr, /No resources/);
  });

  t.test('get -w prints changes under the same columns until Ctrl-C', async (t) => {
    const watch = new NodeProcess([CLI, 'get', 'vs', 'reviews', '-w', ...api]);
    await until('the first line', async () => /^reviews/m.test(watch.stdout));
    weft('apply', '-f', policy('reviews-90-10.yaml'), ...api);
    await until('the change', async () => watch.stdout.split('\n').length === 4);
    watch.kill('SIGINT');
    t.equal(await watch.exited, 0);
    const [head, first, second] = watch.stdout.split('\n');
    t.match(head, /^NAME /);
    t.equal(first!.indexOf('["'), second!.indexOf('["'));
  });

  t.test('get -w ends with an error when the control plane is killed', async (t) => {
    const watch = new NodeProcess([CLI, 'get', 'vs', '-w', ...api]);
    await until('the first lines', async () => /^reviews/m.test(watch.stdout));
    await controlPlane.killHard();
    t.equal(await watch.exited, 1);
    t.match(watch.stderr, /does not answer at/);
    await controlPlane.restart();
  });

  t.test('apply goes on after an object that the server refuses', async (t) => {
    const stale = readFileSync(policy('reviews-jason-v2.yaml'), 'utf8').replace(
      /^ {2}name: reviews$/m,
      '  name: reviews\n  resourceVersion: "1"',
    );
    const other = readFileSync(policy('ratings-abort-555.yaml'), 'utf8');
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [CLI, 'apply', '-f', '-', ...api],
      { encoding: 'utf8', input: `${stale}\n---\n${other}` },
    );
    t.equal(status, 1);
    t.match(stderr, /^-:\d+: Conflict: /m);
    t.match(stdout, /ratings configured/);
  });

  t.test('an explicit namespace that the file contradicts is an error', async (t) => {
    const file = readFileSync(policy('strict-mtls.yaml'), 'utf8').replace(
      /^metadata:$/m,
      'metadata:\n  namespace: shop',
    );
    const run = (...args: string[]) =>
      spawnSync(process.execPath, [CLI, ...args, ...api], { encoding: 'utf8', input: file });
    t.match(run('apply', '-f', '-', '-n', 'default').stderr, /says namespace shop/);
    t.equal(run('apply', '-f', '-').status, 0);
    t.equal(run('delete', '-f', '-').status, 0);
  });

  t.test('delete -f deletes what it can and says what was not there', async (t) => {
    t.equal(weft('delete', 'vs/details', ...api).status, 0);
    const rest = weft('delete', '-f', policy('all-v1.yaml'), ...api);
    t.equal(rest.status, 1);
    t.match(rest.stderr, /"details" not found/);
    t.match(rest.stdout, /virtualservice\.networking\.istio\.io "reviews" deleted/);
  });

  t.test(
    'token create --to writes what a sidecar elsewhere joins with, and prints nothing',
    async (t) => {
      const directory = join(t.testdir(), 'identity');
      const create = ['token', 'create', '--service-account', 'reviews'];
      t.match(weft(...create, '--to', directory, ...api), { status: 0, stdout: /^$/ });
      const file = (name: string) => join(directory, name);
      t.equal(
        readFileSync(file('root-cert.pem'), 'utf8'),
        readFileSync(controlPlane.rootCertFile, 'utf8'),
      );
      const [, claims] = readFileSync(file('token'), 'utf8').split('.');
      t.match(JSON.parse(Buffer.from(claims!, 'base64url').toString()), { sa: 'reviews' });
      t.equal(statSync(file('token')).mode & 0o777, 0o600);
      const beyond = weft(...create, '--to', file('token'), ...api);
      t.match(beyond, { status: 1, stderr: /^weft: --to .*\/token cannot be written: / });
    },
  );

  t.test('what the server refuses is its words on one line, without a stack', async (t) => {
    const none = weft('token', 'create', '--service-account', 'x', '--ttl', '0s', ...api);
    t.equal(none.status, 1);
    t.match(none.stderr, /^Error from server \(BadRequest\): ttlSeconds: .*\n$/);
  });
});

async function listening(server: Server): Promise<AddressInfo> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server.address() as AddressInfo;
}
