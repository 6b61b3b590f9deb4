import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ControlPlane } from './harness/control-plane.ts';
import { NodeProcess, ROOT } from './harness/node-process.ts';
import { rawExchange } from './harness/raw-exchange.ts';
import { until } from './harness/until.ts';

/** The control plane and the command line as processes: kubectl's manners, durability, and starts that must fail well. */

t.setTimeout(200_000);

const POLICIES = join(ROOT, 'examples/bookinfo/policies');
const policy = (name: string) => join(POLICIES, name);
const VS = '/apis/networking.istio.io/v1/namespaces/default/virtualservices';

t.test('weft apply, get, diff and delete', async (t) => {
  const controlPlane = await ControlPlane.start();
  t.teardown(() => controlPlane.stop());

  const created = await controlPlane.weft('apply', '-f', policy('all-v1.yaml'));
  t.equal(created.code, 0, created.err);
  t.match(created.out, /^virtualservice\.networking\.istio\.io\/reviews created$/m);
  const again = await controlPlane.weft('apply', '-f', policy('all-v1.yaml'));
  t.match(again.out, /reviews unchanged$/m);

  const diff = await controlPlane.weft('diff', '-f', policy('reviews-90-10.yaml'));
  t.equal(diff.code, 1, 'diff exits 1 where something would change');
  t.match(diff.out, /^\+ +weight: 90$/m);
  t.equal((await controlPlane.weft('diff', '-f', policy('all-v1.yaml'))).code, 0);

  t.match(
    (await controlPlane.weft('apply', '-f', policy('reviews-90-10.yaml'))).out,
    /reviews configured$/m,
  );
  const table = await controlPlane.weft('get', 'vs');
  t.match(table.out, /^NAME +GATEWAYS +HOSTS +AGE$/m);
  t.match(table.out, /^reviews +.*\["reviews"\] +\d+s$/m);
  const yaml = await controlPlane.weft('get', 'virtualservice', 'reviews', '-o', 'yaml');
  t.match(yaml.out, /^ {2}resourceVersion: /m);
  t.match(yaml.out, /weight: 90/);
  const json = JSON.parse((await controlPlane.weft('get', 'vs', '-o', 'json')).out) as {
    items: object[];
  };
  t.equal(json.items.length, 4);
  t.equal((await controlPlane.weft('get', 'vs', '-o', 'name')).out.split('\n').length, 5);

  const none = await controlPlane.weft('get', 'dr');
  t.equal(none.code, 0);
  t.equal(none.out, '');
  t.match(none.err, /^No resources found in default namespace\.$/m);

  const missing = await controlPlane.weft('get', 'vs', 'nope');
  t.equal(missing.code, 1);
  t.match(missing.err, /Error from server \(NotFound\): .*"nope" not found/);
  t.match((await controlPlane.weft('get', 'virtualservce')).err, /did you mean virtualservice/);

  t.match((await controlPlane.weft('delete', 'vs', 'reviews')).out, /"reviews" deleted/);
  t.equal((await controlPlane.weft('delete', 'vs', 'reviews')).code, 1);
  t.equal((await controlPlane.weft('delete', 'vs', 'reviews', '--ignore-not-found')).code, 0);
  t.equal(
    (await controlPlane.weft('delete', '-f', policy('all-v1.yaml'), '--ignore-not-found')).code,
    0,
  );
  t.match((await controlPlane.weft('get', 'vs', '-A')).err, /No resources found/);
});

t.test('standard input, dry run, wrong input', async (t) => {
  const controlPlane = await ControlPlane.start();
  t.teardown(() => controlPlane.stop());
  const run = (args: string[], input: string) =>
    spawnSync(process.execPath, [join(ROOT, 'cli/main.ts'), ...args], {
      input,
      encoding: 'utf8',
      env: { ...process.env, WEFT_SERVER: controlPlane.api },
    });
  const text = readFileSync(policy('reviews-90-10.yaml'), 'utf8');
  t.match(run(['apply', '-f', '-', '--dry-run=client'], text).stdout, /reviews valid \(dry run\)/);
  t.match(
    run(['apply', '-f', '-', '--dry-run=server'], text).stdout,
    /reviews created \(server dry run\)/,
  );
  t.equal(
    (await fetch(`${controlPlane.api}${VS}/reviews`)).status,
    404,
    'a dry run writes nothing',
  );
  t.equal(run(['apply', '-f', '-'], text).status, 0);

  const bad = run(['apply', '-f', policy('misspelt.yaml')], '');
  t.not(bad.status, 0);
  t.match(
    bad.stderr,
    /misspelt\.yaml:13:13: spec\.http\[0\]\.route\[0\]\.destination\.subsett: .*did you mean subset/,
  );
  t.match(bad.stderr, /misspelt\.yaml:14:\d+: spec\.http\[0\]\.mirror: .*not supported/);
  const malformed = run(['apply', '-f', '-'], 'a: [1\nb: }');
  t.equal(malformed.status, 65);
  t.match(malformed.stderr, /^-:\d+:\d+: /m);
  t.equal(run(['apply', '-f', '/no/such/file'], '').status, 65);
  t.equal(run(['apply'], '').status, 64);
  t.equal(run(['frobnicate'], '').status, 64);
  const offline = spawnSync(
    process.execPath,
    [join(ROOT, 'cli/main.ts'), 'get', 'vs', '--server', 'http://127.0.0.1:1'],
    {
      encoding: 'utf8',
    },
  );
  t.equal(offline.status, 1);
  t.match(offline.stderr, /does not answer at http:\/\/127\.0\.0\.1:1/);
});

t.test('the API has the shape of the Kubernetes REST API', async (t) => {
  const controlPlane = await ControlPlane.start();
  t.teardown(() => controlPlane.stop());
  const api = async (method: string, path: string, body?: unknown) => {
    const init: RequestInit = { method, headers: { 'content-type': 'application/json' } };
    if (body !== undefined) init.body = JSON.stringify(body);
    const response = await fetch(`${controlPlane.api}${path}`, init);
    return {
      status: response.status,
      body: (await response.json()) as Record<string, never> & {
        metadata: Record<string, string>;
        reason: string;
        kind: string;
      },
    };
  };
  const object = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'a' },
    spec: { hosts: ['a'], http: [{ route: [{ destination: { host: 'a' } }] }] },
  };
  const created = await api('POST', VS, object);
  t.equal(created.status, 201);
  t.equal((await api('POST', VS, object)).body.reason, 'AlreadyExists');
  const stale = {
    ...object,
    metadata: { name: 'a', resourceVersion: created.body.metadata['resourceVersion'] },
  };
  const changed = { ...stale, spec: { ...object.spec, exportTo: ['.'] } };
  t.equal((await api('PUT', `${VS}/a`, changed)).status, 200);
  const conflict = await api('PUT', `${VS}/a`, stale);
  t.equal(conflict.status, 409);
  t.equal(conflict.body.reason, 'Conflict');
  const invalid = await api('POST', VS, {
    ...object,
    metadata: { name: 'b' },
    spec: { hosts: ['a'], htp: [] },
  });
  t.equal(invalid.status, 422);
  t.match(JSON.stringify(invalid.body), /"field":"spec\.htp"/);
  t.equal((await api('GET', `${VS}/none`)).body.kind, 'Status');
  t.equal((await api('GET', '/apis')).body.kind, 'APIGroupList');

  const list = await api('GET', VS);
  const watch = await fetch(
    `${controlPlane.api}${VS}?watch=true&resourceVersion=${list.body.metadata['resourceVersion']}`,
  );
  await api('DELETE', `${VS}/a`);
  const reader = watch.body!.getReader();
  const { value } = await reader.read();
  t.match(Buffer.from(value!).toString(), /^\{"type":"DELETED"/);
  await reader.cancel();

  const rebinding = 'GET /apis HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n';
  const port = Number(new URL(controlPlane.api).port);
  t.match(
    (await rawExchange(port, rebinding)).text,
    /^HTTP\/1\.1 (400|403|421) /,
    '[A7.1] a foreign Host is refused',
  );
});

t.test('[F2] an acknowledged write survives kill -9', async (t) => {
  const controlPlane = await ControlPlane.start();
  t.teardown(() => controlPlane.stop());
  for (let round = 1; round <= 3; round += 1) {
    const acknowledged: string[] = [];
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      for (let count = 0; ; count += 1) {
        const name = `r${round}-${writer}-${count}`;
        const response = await fetch(`${controlPlane.api}${VS}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({
            apiVersion: 'networking.istio.io/v1',
            kind: 'VirtualService',
            metadata: { name },
            spec: { hosts: [name], http: [{ route: [{ destination: { host: name } }] }] },
          }),
        }).catch(() => undefined);
        if (response?.status !== 201) return;
        acknowledged.push(name);
      }
    });
    await until('some writes', () => acknowledged.length > 20);
    await controlPlane.killHard();
    await Promise.all(writers);
    await controlPlane.restart();
    const { items } = (await (await fetch(`${controlPlane.api}${VS}`)).json()) as {
      items: { metadata: { name: string } }[];
    };
    const stored = new Set(items.map(({ metadata }) => metadata.name));
    t.same(
      acknowledged.filter((name) => !stored.has(name)),
      [],
      `round ${round}: ${acknowledged.length} writes`,
    );
  }
});

t.test('secrets have mode 0600, and the CA is made once', async (t) => {
  const controlPlane = await ControlPlane.start();
  t.teardown(() => controlPlane.stop());
  const mode = (file: string) => (statSync(join(controlPlane.data, file)).mode & 0o777).toString(8);
  t.equal(mode('ca/ca-key.pem'), '600');
  t.equal(mode('ca'), '700');
  const root = controlPlane.rootCert();
  await controlPlane.killHard();
  await controlPlane.restart();
  t.equal(controlPlane.rootCert(), root);
});

const noOpenssl = spawnSync('openssl', ['version']).status === 0 ? false : 'no openssl here';
t.test(
  'openssl verifies the server on the xDS port by the root file alone',
  { skip: noOpenssl },
  async (t) => {
    const controlPlane = await ControlPlane.start();
    t.teardown(() => controlPlane.stop());
    const { stdout } = spawnSync(
      'openssl',
      [
        's_client',
        '-connect',
        controlPlane.xds,
        '-CAfile',
        controlPlane.rootCertFile,
        '-verify_return_error',
        '-alpn',
        'h2',
      ],
      { input: '', encoding: 'utf8' },
    );
    t.match(stdout, /Verify return code: 0 \(ok\)/);
    t.match(stdout, /ALPN protocol: h2/);
  },
);

t.test('weft token create prints a token; a name that is none is refused', async (t) => {
  const controlPlane = await ControlPlane.start();
  t.teardown(() => controlPlane.stop());
  const { out, code } = await controlPlane.weft(
    'token',
    'create',
    '--service-account',
    'reviews',
    '--ttl',
    '1h',
  );
  t.equal(code, 0);
  t.match(out, /^[\w-]+\.[\w-]+\.[\w-]+\n$/);
  const bad = await controlPlane.weft('token', 'create', '--service-account', 'No_Name');
  t.not(bad.code, 0);
  t.match(bad.err, /No_Name/);
  t.match((await controlPlane.weft('version')).out, /control plane version: v\d/);
  t.match((await controlPlane.weft('proxy-status')).err, /No proxies are connected/);
});

t.test('starts that must fail say why', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'weft-start-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const start = async (...flags: string[]) => {
    const free = ['--xds', '127.0.0.1:0', '--api', '127.0.0.1:0', '--monitoring', '127.0.0.1:0'];
    const child = new NodeProcess([join(ROOT, 'control-plane/main.ts'), ...free, ...flags]);
    const code = await child.exited;
    return { code, output: child.output };
  };

  t.test('[F4] a store file that is no database is named and left as it is', async (t) => {
    const controlPlane = await ControlPlane.start();
    const { readdirSync } = await import('node:fs');
    await controlPlane.process.stop();
    const store = readdirSync(controlPlane.data).find((name) => /\.(db|sqlite)$/.test(name));
    t.ok(store, `a database among ${readdirSync(controlPlane.data)}`);
    const file = join(controlPlane.data, store!);
    for (const suffix of ['-wal', '-shm']) rmSync(file + suffix, { force: true });
    writeFileSync(file, 'this is no database, but somebody’s notes\n'.repeat(100));
    const { code, output } = await start('--data', controlPlane.data);
    t.not(code, 0);
    t.match(output, new RegExp(store!));
    t.match(readFileSync(file, 'utf8'), /^this is no database/);
    rmSync(controlPlane.directory, { recursive: true, force: true });
  });

  t.test('a port in use is named', async (t) => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
    const { port } = holder.address() as { port: number };
    for (const flag of ['--api', '--xds']) {
      const { code, output } = await start(
        '--data',
        join(directory, 'used'),
        flag,
        `127.0.0.1:${port}`,
      );
      t.not(code, 0);
      t.match(output, new RegExp(`127\\.0\\.0\\.1:${port}`), flag);
    }
    holder.close();
  });

  t.test('[F11] half a CA is an error, never a new root', async (t) => {
    const data = join(directory, 'half');
    mkdirSync(join(data, 'ca'), { recursive: true });
    writeFileSync(join(data, 'ca/ca-cert.pem'), 'x');
    const { code, output } = await start('--data', data);
    t.not(code, 0);
    t.match(output, /ca-key\.pem/);
    t.notOk(existsSync(join(data, 'ca/ca-key.pem')));
  });

  t.test('an API that is not on loopback needs a token', async (t) => {
    const { code, output } = await start('--data', join(directory, 'open'), '--api', '0.0.0.0:0');
    t.not(code, 0);
    t.match(output, /--api-token-file/);
  });

  t.test('an unknown flag is named', async (t) => {
    const { code, output } = await start('--dta', directory);
    t.not(code, 0);
    t.match(output, /--dta/);
  });
});
