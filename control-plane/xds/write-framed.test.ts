import { ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import { TYPE_CLUSTER } from '../../proto/type-urls.ts';
import { deltaClient } from './discovery-client.testing.ts';
import { DISCOVERY_SERVICE } from './discovery-service.ts';
import { createGrpcServer } from './grpc-server.ts';
import { cluster } from './resources.testing.ts';
import { frameDelta, sharedBody } from './response-body.ts';
import { writeFramed } from './write-framed.ts';

test('gRPC for Node still has the inside by which messages are written uncopied, and the client reads them', async () => {
  const response = DeltaDiscoveryResponse.create({ typeUrl: TYPE_CLUSTER, nonce: '1' });
  // More than a window of the client, so that it is written piece by piece and not at once.
  const large = Array.from({ length: 30 }, (_, at) => cluster(`c${at}`, 'x'.repeat(10_001)));
  response.resources = sharedBody(large).deltaResources;
  const found: boolean[] = [];
  const frames: Buffer[] = [];
  const server = await createGrpcServer({
    listen: { host: '127.0.0.1', port: 0 },
    credentials: ServerCredentials.createInsecure(),
    services: [
      [
        DISCOVERY_SERVICE,
        {
          deltaAggregatedResources(
            call: ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>,
          ) {
            const frame = (message: DeltaDiscoveryResponse): Buffer => {
              frames.push(frameDelta(message));
              return frames.at(-1)!;
            };
            found.push(writeFramed(call, frame));
            call.write(response);
          },
        },
      ],
    ],
  });
  const clients = [1, 2].map(() => deltaClient({ address: `127.0.0.1:${server.address.port}` }));
  try {
    for (const client of clients) {
      client.send({ typeUrl: TYPE_CLUSTER });
      expect(wire(await client.take(() => true))).toEqual(wire(response));
    }
    expect(found).toEqual([true, true]);
    expect(frames[0]).toBe(frames[1]);
  } finally {
    for (const client of clients) client.close();
    await server.close(0);
  }
});

function wire(message: DeltaDiscoveryResponse): Buffer {
  return Buffer.from(DeltaDiscoveryResponse.encode(message).finish());
}

test('where the inside is another, messages are copied as ever', () => {
  expect(writeFramed({}, frameDelta)).toBe(false);
  expect(writeFramed({ call: { stream: { close: () => {} } } }, frameDelta)).toBe(false);
});
