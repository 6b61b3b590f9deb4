import { expect, test } from 'vitest';
import { packAny, unpackAny, unpackAs } from './any.ts';
import { Cluster } from './gen/envoy/config/cluster/v3/cluster.ts';
import { TYPE_CLUSTER, TYPE_LISTENER } from './type-urls.ts';

const CLUSTER = 'envoy.config.cluster.v3.Cluster';

test('a packed message unpacks to itself', () => {
  const cluster = Cluster.create({ name: 'a', connectTimeout: { seconds: 1, nanos: 0 } });
  const any = packAny(TYPE_CLUSTER, cluster);
  expect(unpackAny(any)).toEqual({ ok: true, typeUrl: TYPE_CLUSTER, message: cluster });
  expect(unpackAs(CLUSTER, any)).toMatchObject({ ok: true, message: cluster });
});

test('the type is what follows the last slash', () => {
  const any = { ...packAny(TYPE_CLUSTER, Cluster.create()), typeUrl: `example.com/x/${CLUSTER}` };
  expect(unpackAs(CLUSTER, any).ok).toBe(true);
});

test('another type than the wanted one is a problem that names both', () => {
  expect(unpackAs(CLUSTER, { typeUrl: TYPE_LISTENER, value: new Uint8Array() })).toEqual({
    ok: false,
    problem: `expected ${TYPE_CLUSTER}, got ${TYPE_LISTENER}`,
  });
});

test('an unknown type is a problem, with the nearest name', () => {
  const typeUrl = 'type.googleapis.com/envoy.config.cluster.v2.Cluster';
  expect(unpackAny({ typeUrl, value: new Uint8Array() })).toEqual({
    ok: false,
    problem: `unknown or unsupported type "${typeUrl}"; did you mean "${TYPE_CLUSTER}"?`,
  });
  expect(unpackAny({ typeUrl: '', value: new Uint8Array() }).ok).toBe(false);
});

test.each([
  ['cut in a string', [0x0a, 0x05, 0x61]],
  ['a varint without end', Array(12).fill(0xff)],
  ['a length past the end', [0x22, 0xff, 0xff, 0xff, 0xff, 0x0f]],
])('malformed bytes are a problem: %s', (_, bytes) => {
  const result = unpackAny({ typeUrl: TYPE_CLUSTER, value: Uint8Array.from(bytes) });
  expect(result).toMatchObject({
    ok: false,
    problem: expect.stringContaining(`malformed ${CLUSTER}`),
  });
});
