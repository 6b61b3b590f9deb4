import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { applyPolicy, STRICT_MTLS } from './harness/apply-policy.ts';
import { type HostNamespace, namespacesMissing } from './harness/network-namespace.ts';
import { TransparentMesh, type TransparentWorkload } from './harness/transparent-mesh.ts';
import { until } from './harness/until.ts';

/** Real Redis and PostgreSQL servers and clients over redirected connections: opaque, mutual TLS, counted by bytes. */

t.setTimeout(200_000);

/** `nobody`: initdb wants a UID that has a name. */
const DATABASE_USER = { uid: 65_534, gid: 65_534 };
const POSTGRES = postgresPrograms();

function missing(): string | false {
  if (spawnSync('redis-server', ['--version']).error !== undefined) {
    return 'redis-server is not installed here';
  }
  if (POSTGRES === '') return 'postgresql is not installed here';
  return namespacesMissing();
}

t.test('[PR-11] databases in the mesh', { skip: missing() }, async (t) => {
  const mesh = await TransparentMesh.start();
  const directory = mkdtempSync(join(tmpdir(), 'weft-databases-'));
  chownSync(directory, DATABASE_USER.uid, DATABASE_USER.gid);
  t.teardown(async () => {
    await mesh.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const databases = await mesh.workload('databases', {
    service: 'databases',
    ports: [
      { number: 6379, protocol: 'redis' },
      { number: 5432, protocol: 'postgres' },
    ],
  });
  const client = await mesh.workload('client');
  const outside = await mesh.outsider('outside');
  const { host } = databases;
  const redis = ['redis-server', '--port', '6379', '--bind', '0.0.0.0', '--protected-mode', 'no'];
  start(host, [...redis, '--save', '', '--dir', directory]);
  const data = join(directory, 'postgres');
  run(host, [
    join(POSTGRES, 'initdb'),
    '-D',
    data,
    '-U',
    'weft',
    '--auth',
    'trust',
    '-N',
    '-E',
    'UTF8',
  ]);
  allowEverybody(host, data);
  const listen = ['-c', 'listen_addresses=*', '-c', `unix_socket_directories=${directory}`];
  start(host, [join(POSTGRES, 'postgres'), '-D', data, ...listen, '-c', 'fsync=off']);
  await Promise.all([databases.untilReady(), client.untilReady()]);

  const redisCli = (from: HostNamespace, ...words: string[]) =>
    attempt(from, ['redis-cli', '-h', host.v4, ...words]);
  const psql = (from: HostNamespace, sql: string, input = '') =>
    attempt(from, [join(POSTGRES, 'psql'), ...connection(host), '-c', sql], input);
  await until('Redis through the mesh', () => redisCli(client.host, 'PING').out === 'PONG');
  await until('PostgreSQL through the mesh', () => psql(client.host, 'SELECT 1').out === '1');
  await until('mutual TLS to both', async () => {
    redisCli(client.host, 'PING');
    psql(client.host, 'SELECT 1');
    return (await opened(databases)) >= 2 && (await opened(client)) >= 2;
  });
  const plain = () =>
    databases.metric('istio_tcp_connections_opened_total{', 'connection_security_policy="none"');
  // A client that dials before its sidecar knows the service passes through, in plain text.
  const plainBefore = await plain();

  t.test('[PR-01] Redis: values, pipelines and a subscriber', async (t) => {
    t.equal(redisCli(client.host, 'SET', 'name', 'weft').out, 'OK');
    t.equal(redisCli(client.host, 'GET', 'name').out, 'weft');
    const large = 'x'.repeat(100_000);
    t.equal(redisCli(client.host, 'SET', 'large', large).out, 'OK');
    t.equal(redisCli(client.host, 'GET', 'large').out, large);
    const pipeline = Array.from({ length: 5000 }, () => 'INCR counter\r\n').join('');
    const piped = attempt(client.host, ['redis-cli', '-h', host.v4, '--pipe'], pipeline);
    t.match(piped.out, /errors: 0, replies: 5000/);
    t.equal(redisCli(client.host, 'GET', 'counter').out, '5000');
    const subscriber = start(
      client.host,
      ['redis-cli', '-h', host.v4, 'SUBSCRIBE', 'news'],
      'pipe',
    );
    let heard = '';
    subscriber.stdout!.setEncoding('utf8').on('data', (text: string) => {
      heard += text;
    });
    await until('the subscription', () => heard.includes('subscribe'));
    t.equal(redisCli(client.host, 'PUBLISH', 'news', 'hello').out, '1');
    await until('the message', () => heard.includes('hello'));
    subscriber.kill();
  });

  t.test('[PR-01] PostgreSQL: tables, COPY both ways, an error, a large answer', (t) => {
    t.equal(psql(client.host, 'CREATE TABLE numbers (n int, text text)').code, 0);
    const rows = Array.from({ length: 20_000 }, (_, n) => `${n}\tnumber ${n}\n`).join('');
    t.equal(psql(client.host, 'COPY numbers FROM STDIN', rows).code, 0);
    t.equal(psql(client.host, 'SELECT sum(n) FROM numbers').out, '199990000');
    const copied = psql(client.host, 'COPY numbers TO STDOUT');
    t.equal(`${copied.out}\n`, rows);
    t.match(psql(client.host, 'SELECT * FROM nowhere').err, /relation "nowhere" does not exist/);
    // The server is asked for TLS of its own, has none, and says so inside the mesh's TLS.
    const prefer = attempt(client.host, [
      join(POSTGRES, 'psql'),
      ...connection(host, 'prefer'),
      '-c',
      'SELECT 2',
    ]);
    t.equal(prefer.out, '2');
    t.end();
  });

  t.test(
    '[OB-01] connections and bytes are counted, with both principals, as mutual TLS',
    async (t) => {
      const parties = [
        'source_principal="spiffe://cluster.local/ns/default/sa/client"',
        'destination_principal="spiffe://cluster.local/ns/default/sa/databases"',
        'destination_service="databases.default.svc.cluster.local"',
        'request_protocol="tcp"',
      ];
      const server = (name: string) =>
        databases.metric(name, 'connection_security_policy="mutual_tls"', ...parties);
      const source = (name: string) => client.metric(name, 'reporter="source"', ...parties);
      for (const side of [server, source]) {
        // Bytes of the client: 100 kB to Redis and 300 kB of rows to PostgreSQL; as much back.
        await until(
          'the bytes',
          async () =>
            (await side('istio_tcp_received_bytes_total{')) > 350_000 &&
            (await side('istio_tcp_sent_bytes_total{')) > 350_000,
        );
        const connections = await side('istio_tcp_connections_opened_total{');
        t.ok(connections >= 10, `${connections} opened`);
        await until(
          'all to be closed',
          async () =>
            (await side('istio_tcp_connections_closed_total{')) ===
            (await side('istio_tcp_connections_opened_total{')),
        );
      }
      t.equal(await plain(), plainBefore);
    },
  );

  t.test('[SC-02] under STRICT the same clients outside the mesh get nothing', async (t) => {
    t.equal(redisCli(outside.host, 'PING').out, 'PONG', 'PERMISSIVE takes plain text');
    await applyPolicy(mesh.controlPlane, STRICT_MTLS);
    await until('STRICT', () => redisCli(outside.host, 'PING').out !== 'PONG');
    t.match(redisCli(outside.host, 'GET', 'name').err, /Connection reset|Server closed|I\/O error/);
    t.match(psql(outside.host, 'SELECT 1').err, /server closed the connection|reset by peer/i);
    t.equal(redisCli(client.host, 'GET', 'name').out, 'weft');
    t.equal(psql(client.host, 'SELECT 3').out, '3');
  });

  t.test('what is on the wire between the hosts is TLS', { skip: noCapture() }, async (t) => {
    const packets = join(directory, 'packets');
    const capture = start(
      host,
      ['tcpdump', '-i', 'eth0', '-U', '-w', packets, 'tcp', 'port', '6379'],
      'pipe',
      true,
    );
    let said = '';
    capture.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    await until('the capture', () => said.includes('listening on'));
    const secret = 'not-to-be-read-on-the-wire';
    t.equal(redisCli(client.host, 'SET', 'secret', secret).out, 'OK');
    t.equal(redisCli(client.host, 'GET', 'secret').out, secret);
    const bytes = await until('the packets', () => {
      const { stdout } = spawnSync('tcpdump', ['-r', packets, '-xx', '-n'], { encoding: 'latin1' });
      return stdout.split('\n').length > 40 ? stdout : undefined;
    });
    capture.kill('SIGINT');
    const hex = bytes
      .replace(/^\S.*$/gm, '')
      .replace(/^\s+0x[0-9a-f]+:/gm, '')
      .replace(/\s/g, '');
    t.ok(hex.length > 4000, 'packets were seen');
    t.notOk(hex.includes(Buffer.from(secret).toString('hex')));
    t.notOk(hex.includes(Buffer.from('SET\r\n').toString('hex')));
  });
});

function opened(workload: TransparentWorkload): Promise<number> {
  const policy =
    workload.name === 'client' ? 'reporter="source"' : 'connection_security_policy="mutual_tls"';
  return workload.metric(
    'istio_tcp_connections_opened_total{',
    policy,
    'destination_service="databases',
  );
}

function connection(host: HostNamespace, sslmode = 'disable'): string[] {
  return [
    '-X',
    '-A',
    '-t',
    '-q',
    '-v',
    'ON_ERROR_STOP=1',
    `host=${host.v4} port=5432 user=weft dbname=postgres sslmode=${sslmode} connect_timeout=5`,
  ];
}

/** Runs as the app's user, to its end; output without the last newline. */
function attempt(host: HostNamespace, program: readonly string[], input = '') {
  const [command, ...args] = host.command(program, DATABASE_USER);
  const options = { encoding: 'utf8', input, timeout: 30_000, maxBuffer: 1 << 26 } as const;
  const { status, stdout, stderr } = spawnSync(command, args, options);
  return { code: status, out: stdout.replace(/\r?\n$/, ''), err: stderr };
}

function run(host: HostNamespace, program: readonly string[]): void {
  const { code, out, err } = attempt(host, program);
  if (code !== 0) throw new Error(`${program.join(' ')}: ${out}${err}`);
}

/** Starts as the app's user, or as root; ended with the namespaces. */
function start(
  host: HostNamespace,
  program: readonly string[],
  output: 'ignore' | 'pipe' | 'inherit' = 'ignore',
  root = false,
): ChildProcess {
  const [command, ...args] = host.command(program, root ? undefined : DATABASE_USER);
  const child = spawn(command, args, { stdio: ['ignore', output, output] });
  host.keep(child);
  return child;
}

/** Its clients come from 127.0.0.6, which `trust` of initdb covers; the line says so for IPv6 too. */
function allowEverybody(host: HostNamespace, data: string): void {
  run(host, ['sh', '-c', `echo 'host all all all trust' >> ${join(data, 'pg_hba.conf')}`]);
}

/** Debian keeps them by version, out of PATH. */
function postgresPrograms(): string {
  const root = '/usr/lib/postgresql';
  if (!existsSync(root)) return '';
  const versions = readdirSync(root).sort((a, b) => Number(b) - Number(a));
  const found = versions.find((version) => existsSync(join(root, version, 'bin/initdb')));
  return found === undefined ? '' : join(root, found, 'bin');
}

function noCapture(): string | false {
  return spawnSync('tcpdump', ['--version']).error === undefined
    ? false
    : 'tcpdump is not installed here';
}
