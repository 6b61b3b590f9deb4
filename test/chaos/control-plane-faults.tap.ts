import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import t from 'tap';
import { freePorts } from '../../cli/run/free-port.ts';
import { ControlPlane } from '../harness/control-plane.ts';
import { NodeProcess, ROOT } from '../harness/node-process.ts';
import { until } from '../harness/until.ts';

/** A control plane as a process: killed, with a damaged store, a full disk, a log that nobody reads. */

t.setTimeout(200_000);

const SERVICE_ENTRIES = '/apis/networking.istio.io/v1/namespaces/default/serviceentries';

t.test('[F2] what was acknowledged is there after kill -9', async (t) => {
  const controlPlane = await ControlPlane.start();
  t.teardown(() => controlPlane.stop());
  const acknowledged = new Set<string>();
  let next = 0;
  for (let round = 1; round <= 3; round += 1) {
    const writers = Array.from({ length: 4 }, async () => {
      for (;;) {
        const name = `entry-${next++}`;
        const status = await create(controlPlane.api, name).catch(() => 0);
        if (status !== 201) return;
        acknowledged.add(name);
      }
    });
    await until('writes to flow', () => acknowledged.size >= round * 25);
    await controlPlane.killHard();
    await Promise.all(writers);
    await controlPlane.restart();
    const kept = await names(controlPlane.api);
    t.same(
      [...acknowledged].filter((name) => !kept.has(name)),
      [],
      `round ${round}`,
    );
  }
});

t.test('[F4] a damaged store or authority ends the start and says what to do', async (t) => {
  const controlPlane = await ControlPlane.start();
  await create(controlPlane.api, 'kept');
  await controlPlane.process.stop();
  t.teardown(() => rmSync(controlPlane.directory, { recursive: true, force: true }));
  const start = async () => {
    const child = new NodeProcess([
      join(ROOT, 'control-plane/main.ts'),
      ...ON_FREE_PORTS,
      '--data',
      controlPlane.data,
    ]);
    const ready = child.seen(/control plane ready/).then(() => child.stop());
    const code = await Promise.race([child.exited, ready.catch(() => child.exited)]);
    return { code, text: child.output };
  };
  const damage = async (name: string, harm: (path: string) => void, says: RegExp) => {
    const path = join(controlPlane.data, name);
    const copy = join(controlPlane.directory, 'copy');
    copyFileSync(path, copy);
    harm(path);
    const { code, text } = await start();
    t.equal(code, 1, `${name}: ${text}`);
    t.match(text, says);
    copyFileSync(copy, path);
  };
  const truncated = (path: string) => truncateSync(path, readFileSync(path).length >> 1);
  const garbage = (path: string) => writeFileSync(path, 'garbage'.repeat(100));
  const empty = (path: string) => writeFileSync(path, '');
  await damage('weft.db', truncated, /weft\.db.* damaged .*[Rr]estore it from a backup/);
  await damage('weft.db', garbage, /weft\.db.* is not .*[Rr]estore it from a backup/);
  await damage('weft.db', empty, /weft\.db.* is empty .*[Rr]estore it from a backup/);
  await damage('ca/ca-cert.pem', garbage, /ca-cert\.pem.*cannot be read.*restore/);
  await damage('ca/ca-key.pem', empty, /ca-key\.pem.*cannot be read.*restore/);
  await damage('ca/root-cert.pem', garbage, /root-cert\.pem holds no certificate; restore/);
  await controlPlane.restart();
  t.ok((await names(controlPlane.api)).has('kept'), 'all is there once the files are back');
  await controlPlane.process.stop();
});

t.test(
  '[F3] on a full disk writes are 507, reads go on, and space is all it needs',
  { skip: noTmpfs() },
  async (t) => {
    const disk = mkdtempSync(join(tmpdir(), 'weft-disk-'));
    spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', disk]);
    const [api] = await freePorts(1);
    const url = `http://127.0.0.1:${api}`;
    const data = join(disk, 'data');
    mkdirSync(data);
    const child = new NodeProcess([
      join(ROOT, 'control-plane/main.ts'),
      ...['--xds', '127.0.0.1:0', '--monitoring', '127.0.0.1:0'],
      ...['--api', `127.0.0.1:${api}`, '--data', data],
    ]);
    t.teardown(async () => {
      await child.stop();
      spawnSync('umount', [disk]);
      rmSync(disk, { recursive: true, force: true });
    });
    await child.seen(/control plane ready/);
    let written = 0;
    let status = 201;
    for (; status === 201 && written < 100; written += 1) {
      status = await create(url, `entry-${written}`, 'x'.repeat(100_000));
    }
    t.equal(status, 507);
    t.equal((await names(url)).size, written - 1, 'reads go on, and nothing half written shows');
    t.equal((await fetch(`${url}/readyz`)).status, 200);
    spawnSync('mount', ['-o', 'remount,size=20m', disk]);
    t.equal(await create(url, 'after', 'x'.repeat(100_000)), 201);
  },
);

t.test('[D29, A6.1] strangers and a log that nobody reads do not stop it', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'weft-log-'));
  const [xds, api] = await freePorts(2);
  const args = [
    '--xds',
    `127.0.0.1:${xds}`,
    '--api',
    `127.0.0.1:${api}`,
    '--monitoring',
    '127.0.0.1:0',
  ];
  // Its stderr is a pipe that the test never reads.
  const child = spawn(
    process.execPath,
    [join(ROOT, 'control-plane/main.ts'), ...args, '--data', directory],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  child.stderr.pause();
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const status = async () =>
    (await fetch(`http://127.0.0.1:${api}/readyz`).catch(() => undefined))?.status;
  await until('it to be ready', async () => (await status()) === 200);
  const root = readFileSync(join(directory, 'root-cert.pem'));
  const client = new Client(`127.0.0.1:${xds}`, credentials.createSsl(root), {
    'grpc.ssl_target_name_override': 'localhost',
  });
  const refused = () =>
    new Promise<number>((resolve) => {
      const call = client.makeBidiStreamRequest(DELTA, pass, pass, new Metadata());
      call.on('data', () => {});
      call.on('error', (error: Error & { code?: number }) => resolve(error.code ?? -1));
      call.write(Buffer.from([0x0a, 0x00]));
    });
  const codes = new Set<number>();
  for (let round = 0; round < 40; round += 1) {
    for (const code of await Promise.all(Array.from({ length: 50 }, refused))) codes.add(code);
  }
  t.same(
    [...codes].filter((code) => code !== UNAUTHENTICATED && code !== RESOURCE_EXHAUSTED),
    [],
  );
  t.equal(await status(), 200, 'it still answers');
  client.close();
  child.kill('SIGTERM');
  t.same(await once(child, 'exit'), [0, null], 'and stops when it is told');
});

// --- the pieces ---------------------------------------------------------------------------------

const ON_FREE_PORTS = [
  '--xds',
  '127.0.0.1:0',
  '--api',
  '127.0.0.1:0',
  '--monitoring',
  '127.0.0.1:0',
];
const DELTA = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';
const UNAUTHENTICATED = 16;
const RESOURCE_EXHAUSTED = 8;

function pass(bytes: Buffer): Buffer {
  return bytes;
}

/** Creates a ServiceEntry; `note` makes it as large as wanted. Its status. */
async function create(api: string, name: string, note = ''): Promise<number> {
  const response = await fetch(`${api}${SERVICE_ENTRIES}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      apiVersion: 'networking.istio.io/v1',
      kind: 'ServiceEntry',
      metadata: { name, annotations: { note } },
      spec: {
        hosts: [`${name}.example`],
        ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
        resolution: 'DNS',
      },
    }),
  });
  await response.text();
  return response.status;
}

async function names(api: string): Promise<Set<string>> {
  const list = (await (await fetch(`${api}${SERVICE_ENTRIES}`)).json()) as {
    items: { metadata: { name: string } }[];
  };
  return new Set(list.items.map(({ metadata }) => metadata.name));
}

function noTmpfs(): string | false {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux';
  const directory = mkdtempSync(join(tmpdir(), 'weft-try-'));
  const mounted =
    spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', directory]).status === 0;
  if (mounted) spawnSync('umount', [directory]);
  rmSync(directory, { recursive: true, force: true });
  return mounted ? false : 'no tmpfs can be mounted here';
}
