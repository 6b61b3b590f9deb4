import { createServer } from 'node:net';
import { Client } from '../../proxy/listener/listener.testing.ts';
import { loadOriginalDestinationLookup } from '../../proxy/listener/original-destination.ts';
import { namespacesMissing } from '../harness/network-namespace.ts';
import { residentBytes } from '../harness/resident-bytes.ts';
import { TransparentMesh } from '../harness/transparent-mesh.ts';
import { until } from '../harness/until.ts';

/**
 * What redirection costs: microseconds for the original destination of a connection, milliseconds of a request and of a
 * new connection through two sidecars beside the same without any, and the private memory of an idle redirecting
 * sidecar. As root: `node_modules/node/bin/node test/bench/redirect.bench.ts [requests]`.
 *
 * Two busy cores: 1.3 µs; 41 MiB; a request on a new connection 2.3 to 3.1 times, a new TCP connection 14 to 21 times as
 * long as without (0.2 ms there, a full mutual TLS handshake here).
 */

const COUNT = Number(process.argv[2] ?? 2000);
const LOOKUPS = 200_000;
const IDLE_MS = 3000;

async function lookupMicros(): Promise<number> {
  const loaded = loadOriginalDestinationLookup();
  if (loaded.kind === 'problem') throw new Error(loaded.detail);
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  const accepted = new Promise<import('node:net').Socket>((resolve) =>
    server.once('connection', resolve),
  );
  const client = Client.to(port);
  const socket = await accepted;
  for (let done = 0; done < LOOKUPS / 10; done++) loaded.lookup(socket);
  const startMs = performance.now();
  for (let done = 0; done < LOOKUPS; done++) loaded.lookup(socket);
  const micros = ((performance.now() - startMs) * 1000) / LOOKUPS;
  client.socket.destroy();
  socket.destroy();
  server.close();
  return micros;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

const missing = namespacesMissing();
console.log(`original destination: ${(await lookupMicros()).toFixed(2)} µs a connection`);
if (missing !== false) {
  console.log(`the rest is left out: ${missing}`);
  process.exit();
}
const mesh = await TransparentMesh.start();
try {
  const web = await mesh.workload('web', {
    service: 'web',
    ports: [
      { number: 80, protocol: 'http' },
      { number: 7000, protocol: 'tcp' },
    ],
  });
  const client = await mesh.workload('client');
  const [one, two] = [await mesh.outsider('one'), await mesh.outsider('two')];
  for (const { app } of [web, two]) {
    await app.http({ port: 80, name: 'web' });
    await app.tcp({ port: 7000, service: 'echo' });
  }
  await Promise.all([web.untilReady(), client.untilReady()]);
  const mutual = 'connection_security_policy="mutual_tls"';
  await until('mutual TLS', async () => {
    await client.app.request({ host: web.host.v4, port: 80, headers: { host: 'web' } });
    await client.app.exchange({ host: web.host.v4, port: 7000, send: 'x', end: true });
    const tcp = await web.metric('istio_tcp_connections_opened_total{', mutual);
    return tcp > 0 && (await web.metric('istio_requests_total{', mutual)) > 0;
  });
  // Anew, now that its compiled sources are kept.
  for (const workload of [client, web]) {
    await workload.sidecar.stop();
    workload.startSidecar();
  }
  await Promise.all([web.untilReady(), client.untilReady()]);
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
  const mib = (pid: number) => (residentBytes(pid, 'RssAnon') / 2 ** 20).toFixed(1);
  console.log(
    `idle sidecar, RssAnon: ${mib(client.sidecar.pid)} MiB (client), ${mib(web.sidecar.pid)} MiB (server)`,
  );
  for (const kind of ['http', 'tcp'] as const) {
    const port = kind === 'http' ? 80 : 7000;
    const options = { port, kind, headers: { host: 'web' } };
    const pairs: [number, number][] = [];
    // By turns, so that what else the machine does hits both.
    for (let round = 0; round < 5; round++) {
      const count = Math.ceil(COUNT / 5);
      const direct = median(await one.app.latencies({ ...options, host: two.host.v4, count }));
      const meshed = median(await client.app.latencies({ ...options, host: web.host.v4, count }));
      pairs.push([direct, meshed]);
    }
    const [direct, meshed] = [0, 1].map((at) => median(pairs.map((pair) => pair[at]!)));
    const ratio = (meshed! / direct!).toFixed(1);
    const what =
      kind === 'http' ? 'request on a new connection' : 'new connection and one byte back';
    console.log(
      `${kind}: ${what}: ${direct!.toFixed(2)} ms direct, ${meshed!.toFixed(2)} ms meshed, ${ratio} times`,
    );
  }
} finally {
  await mesh.close();
}
