import { expect, test } from 'vitest';
import { DeltaDiscoveryResponse } from '../../../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import { TYPE_CLUSTER } from '../../../../proto/type-urls.ts';
import { readEnvelope } from './ads-fleet.ts';

test('type and nonce are read without the resources between them', () => {
  const response = DeltaDiscoveryResponse.create({
    systemVersionInfo: 'v1',
    resources: [{ name: 'a', version: '1', resource: { typeUrl: TYPE_CLUSTER } }],
    typeUrl: TYPE_CLUSTER,
    nonce: 'n7',
    removedResources: ['b'],
  } as never);
  const bytes = DeltaDiscoveryResponse.encode(response).finish();
  expect(readEnvelope(bytes)).toEqual({ typeUrl: TYPE_CLUSTER, nonce: 'n7' });
});

test('an envelope without either is empty', () => {
  expect(readEnvelope(new Uint8Array())).toEqual({ typeUrl: '', nonce: '' });
});
