import * as grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  AggregatedDiscoveryServiceClient,
  type AggregatedDiscoveryServiceServer,
  AggregatedDiscoveryServiceService,
} from './gen/envoy/service/discovery/v3/ads.ts';
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from './gen/envoy/service/discovery/v3/discovery.ts';
import {
  IstioCertificateRequest,
  IstioCertificateResponse,
  IstioCertificateServiceClient,
  type IstioCertificateServiceServer,
  IstioCertificateServiceService,
} from './gen/istio/v1/auth/ca.ts';
import { TYPE_CLUSTER } from './type-urls.ts';

const server = new grpc.Server();
let address = '';

beforeAll(async () => {
  const discovery: AggregatedDiscoveryServiceServer = {
    streamAggregatedResources: (call) => call.end(),
    deltaAggregatedResources: (call) => {
      call.on('data', ({ typeUrl }: DeltaDiscoveryRequest) => {
        call.write(DeltaDiscoveryResponse.create({ typeUrl, nonce: '1' }));
      });
      call.on('end', () => call.end());
    },
  };
  const authority: IstioCertificateServiceServer = {
    createCertificate: ({ request }, reply) =>
      reply(null, IstioCertificateResponse.create({ certChain: [`${request.validityDuration}`] })),
  };
  server.addService(AggregatedDiscoveryServiceService, discovery);
  server.addService(IstioCertificateServiceService, authority);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  address = `127.0.0.1:${port}`;
});
afterAll(() => server.forceShutdown());

test('the generated discovery service streams over grpc-js', async () => {
  const client = new AggregatedDiscoveryServiceClient(address, grpc.credentials.createInsecure());
  const stream = client.deltaAggregatedResources();
  stream.write(DeltaDiscoveryRequest.create({ typeUrl: TYPE_CLUSTER }));
  const response = await new Promise((resolve, reject) => {
    stream.once('data', resolve).once('error', reject);
  });
  expect(response).toMatchObject({ typeUrl: TYPE_CLUSTER, nonce: '1', removedResources: [] });
  stream.end();
  client.close();
});

test('the generated certificate service answers a call', async () => {
  const client = new IstioCertificateServiceClient(address, grpc.credentials.createInsecure());
  const request = IstioCertificateRequest.create({
    csr: 'x',
    validityDuration: 86_400,
    metadata: { a: [1] },
  });
  const response = await new Promise((resolve, reject) => {
    client.createCertificate(request, (error, value) =>
      error === null ? resolve(value) : reject(error),
    );
  });
  expect(response).toEqual({ certChain: ['86400'] });
  client.close();
});
