import { status } from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import { freePorts } from '../../cli/run/free-port.ts';
import { FrameType } from '../../proxy/http2/frame/frame-head.ts';
import { frameRelay } from '../harness/frame-relay.ts';
import { everyKindOfCall } from '../harness/grpc-calls.ts';
import { grpcEchoApp } from '../harness/grpc-echo-app.ts';
import { GrpcEchoClient } from '../harness/grpc-echo-client.ts';
import { grpcioClient, grpcioServer, noGrpcio } from '../harness/grpcio.ts';
import { http2Proxy, upstreamOptions } from '../harness/http2-proxy.ts';
import { sidecarPair } from '../harness/sidecar-pair.ts';
import { everything, httpListener, staticCluster, staticProxy } from '../harness/static-proxy.ts';
import { tlsFiles } from '../harness/tls-files.ts';
import { until } from '../harness/until.ts';

/** gRPC's own Python implementation, which shares no code with grpc-js, on either side of a sidecar and of a pair. */

t.setTimeout(120_000);

const CHECKS = [
  'metadata',
  'client_stream',
  'server_stream',
  'bidi',
  'large',
  'cancel',
  'deadline',
  'status',
  'many',
  'keepalive',
] as const;

/** Each check of the client is a test. */
async function passes(
  t: Test,
  port: number,
  authority: string,
  checks: readonly string[] = CHECKS,
): Promise<void> {
  const client = grpcioClient(port, authority, checks);
  t.teardown(() => client.stop(1000));
  for (const check of checks) {
    const [, result] = await client.seen(new RegExp(`^${check} (.*)$`, 'm'), 30_000);
    t.equal(result, 'ok', check);
  }
  t.equal(await client.exited, 0, client.stderr);
}

t.test('[PR-07] a client of grpcio', { skip: noGrpcio() }, async (t) => {
  const app = await grpcEchoApp();
  const files = await tlsFiles();
  const rig = await http2Proxy({ app: { port: app.port, version: 'http2' } }, files);
  const relay = await frameRelay(rig.plainPort);
  t.teardown(async () => {
    relay.close();
    await rig.proxy.stop();
    app.close();
    files.remove();
  });
  await passes(t, relay.port, '');
  const pings = relay.frames.get(FrameType.Ping) ?? 0;
  t.ok(pings >= 10, `${pings} PING frames were sent`);
  await until('what is cancelled or late to end at the server', () => app.cancelled() >= 3);
  t.equal(rig.proxy.process.exitCode, undefined, 'the proxy lives');
});

t.test('[PR-07] wait_for_ready waits for the proxy to come', { skip: noGrpcio() }, async (t) => {
  const app = await grpcEchoApp();
  const [port] = await freePorts(1);
  const client = grpcioClient(port!, '', ['wait_for_ready']);
  t.teardown(() => client.stop(1000));
  await client.seen(/^waiting$/m);
  const proxy = await staticProxy({
    listeners: [httpListener(port!, [everything('app')])],
    clusters: [
      staticCluster('app', [app.port], upstreamOptions({ port: app.port, version: 'http2' })),
    ],
  });
  t.teardown(async () => {
    await proxy.stop();
    app.close();
  });
  const [, result] = await client.seen(/^wait_for_ready (.*)$/m, 30_000);
  t.equal(result, 'ok');
});

t.test('[PR-07] a server of grpcio', { skip: noGrpcio() }, async (t) => {
  const server = await grpcioServer();
  const files = await tlsFiles();
  const rig = await http2Proxy({ app: { port: server.port, version: 'http2' } }, files);
  const client = new GrpcEchoClient(`127.0.0.1:${rig.plainPort}`);
  t.teardown(async () => {
    client.close();
    await rig.proxy.stop();
    await server.stop();
    files.remove();
  });
  await everyKindOfCall(t, client, server);
  const failed = await client.unary('Flaky', Buffer.from('x'));
  t.same([failed.code, failed.details], [status.FAILED_PRECONDITION, 'as always: grüß dich']);
  await t.test('and a client of it', (t) =>
    passes(t, rig.plainPort, '', ['metadata', 'bidi', 'large', 'cancel', 'deadline']),
  );
});

t.test('[PR-07] both beside a sidecar of their own', { skip: noGrpcio() }, async (t) => {
  const server = await grpcioServer();
  const pair = await sidecarPair([{ service: 'echo', port: server.port, protocol: 'grpc' }]);
  t.teardown(async () => {
    await pair.stop();
    await server.stop();
  });
  await passes(t, pair.client.outboundPort, 'echo:9080');
});
