import { status } from '@grpc/grpc-js';
import t from 'tap';
import { everyKindOfCall } from '../harness/grpc-calls.ts';
import { grpcEchoApp } from '../harness/grpc-echo-app.ts';
import { GrpcEchoClient } from '../harness/grpc-echo-client.ts';
import { grpcHealthApp } from '../harness/grpc-health-app.ts';
import { grpcHealthProbe, noGrpcHealthProbe } from '../harness/grpc-health-probe.ts';
import { sidecarPair } from '../harness/sidecar-pair.ts';

/** gRPC by grpc-js through a pair of sidecars, and checks of gRPC health by a foreign program. */

t.setTimeout(120_000);

t.test('[PR-07] grpc-js beside each of two sidecars', async (t) => {
  const app = await grpcEchoApp();
  const health = await grpcHealthApp();
  const pair = await sidecarPair([
    { service: 'echo', port: app.port, protocol: 'grpc' },
    { service: 'health', port: health.port, protocol: 'grpc' },
  ]);
  const { outboundPort } = pair.client;
  const client = new GrpcEchoClient(`127.0.0.1:${outboundPort}`, {
    'grpc.default_authority': 'echo:9080',
  });
  t.teardown(async () => {
    client.close();
    await pair.stop();
    app.close();
    health.close();
  });

  await everyKindOfCall(t, client, app);

  await t.test('100,000 messages on one stream', async (t) => {
    let messages = 0;
    for await (const message of client.stream('100000 20')) {
      if ((message as Buffer).length === 20) messages += 1;
    }
    t.equal(messages, 100_000);
  });

  await t.test('a status of the server, before any message and after its head', async (t) => {
    for (const inTrailers of [false, true]) {
      // Not one that is tried again.
      app.failures.push({ code: status.DATA_LOSS, inTrailers });
      const failed = await client.unary('Flaky', Buffer.from('x'));
      t.same([failed.code, failed.details], [status.DATA_LOSS, 'as asked']);
    }
    const unknown = await client.unary('Unknown', Buffer.from('x'));
    t.equal(unknown.code, status.UNIMPLEMENTED);
  });

  await t.test(
    'gRPC health by another program, through a tunnel',
    { skip: noGrpcHealthProbe() },
    async (t) => {
      const probe = (service: string) => grpcHealthProbe('health:9080', service, outboundPort);
      health.statuses.set('up', 1).set('down', 2);
      t.match(await probe(''), { code: 0, output: /^status: SERVING/ });
      t.match(await probe('up'), { code: 0, output: /^status: SERVING/ });
      t.match(await probe('down'), { code: 4, output: /NOT_SERVING/ });
      t.match(await probe('none'), { code: 3, output: /NotFound/ });
      t.match(health.userAgent(), /^grpc_health_probe/);
    },
  );

  for (const { process } of [pair.client, ...pair.servers.values()]) {
    t.equal(process.exitCode, undefined, 'the sidecar lives');
  }
});
