import { createHash, randomBytes } from 'node:crypto';
import { afterEach, expect, test } from 'vitest';
import { makeAuthority } from '../../test/certificates.ts';
import { loopback } from '../upstream/cluster.testing.ts';
import {
  bind,
  Client,
  clusterConfig,
  downstreamTls,
  listenerConfig,
  listenerManager,
  RecordingLog,
  tcpChain,
} from './listener.testing.ts';

/** Two proxies, client side and server side, with mutual TLS between them. */

const SERVER = 'spiffe://cluster.local/ns/default/sa/server';
const CLIENT = 'spiffe://cluster.local/ns/default/sa/client';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function meshHop(appPort: number) {
  const authority = await makeAuthority();
  const log = new RecordingLog();
  const outboundLog = new RecordingLog();
  const proxy = async (principal: string) => {
    const all = listenerManager();
    cleanups.push(
      () => all.manager.destroy(),
      () => all.clusters.close(),
    );
    const certificate = await authority.issue({ uri: [principal] });
    expect(all.secrets.setCertificate('default', certificate)).toBe('');
    expect(all.secrets.setValidation('ROOTCA', { trustedCaPem: authority.certificatePem })).toBe(
      '',
    );
    return all;
  };
  const inbound = await proxy(SERVER);
  inbound.clusters.setCluster(clusterConfig([{ port: appPort }], { name: 'app' }));
  const inboundPort = await bind(
    inbound.manager,
    listenerConfig([
      tcpChain([{ name: 'app', weight: 1 }], {
        tls: downstreamTls({ alpnProtocols: ['istio'] }),
        accessLogs: [log],
      }),
    ]),
  );
  const outbound = await proxy(CLIENT);
  outbound.clusters.setCluster(
    clusterConfig([{ port: inboundPort }], {
      name: 'peer',
      tls: {
        ...downstreamTls({ alpnProtocols: ['istio'] }),
        subjectAltNames: [{ type: 'URI', text: SERVER, matches: (san) => san === SERVER }],
        sni: 'outbound_.80_._.server.default.svc.cluster.local',
      },
    }),
  );
  const port = await bind(
    outbound.manager,
    listenerConfig([tcpChain([{ name: 'peer', weight: 1 }], { accessLogs: [outboundLog] })], {
      direction: 'OUTBOUND',
    }),
  );
  return { port, log, outboundLog };
}

test('[PR-11] [OB-02] opaque bytes over mutual TLS arrive whole, both ways, with half-closes', async () => {
  const bytes = randomBytes(8 * 1024 * 1024);
  const sha = (data: Buffer) => createHash('sha256').update(data).digest('hex');
  const app = await loopback((socket) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => {
      const received = Buffer.concat(chunks);
      socket.write(`${sha(received)}\n`);
      socket.end(received);
    });
  });
  cleanups.push(() => app.close());
  const { port, log, outboundLog } = await meshHop(app.port);
  const client = Client.to(port);
  cleanups.push(() => client.socket.destroy());
  client.socket.end(bytes);
  await client.until(() => client.ended);
  const answer = Buffer.from(client.text, 'latin1');
  expect(answer.subarray(0, 64).toString()).toBe(sha(bytes));
  expect(sha(answer.subarray(65))).toBe(sha(bytes));
  await log.until(() => log.records.length > 0);
  expect(log.records[0]).toMatchObject({
    flags: 0,
    bytesReceived: bytes.length,
    downstream: {
      peerPrincipal: CLIENT,
      localPrincipal: SERVER,
      mutualTls: true,
      requestedServerName: 'outbound_.80_._.server.default.svc.cluster.local',
    },
  });
  await outboundLog.until(() => outboundLog.records.length > 0);
  expect(outboundLog.records[0]).toMatchObject({
    upstreamMutualTls: true,
    upstreamPeerPrincipal: SERVER,
  });
});
