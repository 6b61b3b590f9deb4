import { once } from 'node:events';
import { connect } from 'node:net';
import { ServerCredentials } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { TYPE_CLUSTER } from '../../proto/type-urls.ts';
import { deltaClient } from './discovery-client.testing.ts';
import { DISCOVERY_SERVICE } from './discovery-service.ts';
import { createGrpcServer, type GrpcServer } from './grpc-server.ts';

/** Takes streams in and never ends them. */
function start(port = 0, opened: () => void = () => {}): Promise<GrpcServer> {
  return createGrpcServer({
    listen: { host: '127.0.0.1', port },
    credentials: ServerCredentials.createInsecure(),
    services: [[DISCOVERY_SERVICE, { deltaAggregatedResources: opened }]],
  });
}

test('a port that is taken is refused with the error of the socket', async () => {
  const first = await start();
  await expect(start(first.address.port)).rejects.toMatchObject({ code: 'EADDRINUSE' });
  await first.close(0);
});

test('a stop cuts streams that do not end, and connections that said nothing, after the grace', async () => {
  const opened = Promise.withResolvers<void>();
  const server = await start(0, opened.resolve);
  const silent = connect(server.address.port, '127.0.0.1');
  await once(silent, 'connect');
  const client = deltaClient({ address: `127.0.0.1:${server.address.port}` });
  client.send({ typeUrl: TYPE_CLUSTER });
  await opened.promise;
  const cut = once(silent.resume(), 'close');
  await server.close(50);
  await cut;
  expect((await client.ended()).code).not.toBe(0);
  client.close();
});
