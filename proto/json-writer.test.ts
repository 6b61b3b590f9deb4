import { expect, test } from 'vitest';
import { packAny } from './any.ts';
import { Node } from './gen/envoy/config/core/v3/base.ts';
import { Listener } from './gen/envoy/config/listener/v3/listener.ts';
import type { Any } from './gen/google/protobuf/any.ts';
import { writeJson } from './json-writer.ts';
import { TYPE_LISTENER } from './type-urls.ts';

const LISTENER = 'envoy.config.listener.v3.Listener';

test('names are those of the .proto files, in their order, and defaults are left out', () => {
  const listener = Listener.create({
    trafficDirection: 2,
    name: 'in',
    address: {
      address: {
        $case: 'socketAddress',
        value: { address: '127.0.0.1', portSpecifier: { $case: 'portValue', value: 0 } },
      },
    },
    listenerFiltersTimeout: { seconds: 0, nanos: 100_000_000 },
    bindToPort: false,
  });
  expect(JSON.stringify(writeJson(LISTENER, listener))).toBe(
    '{"name":"in","address":{"socket_address":{"address":"127.0.0.1","port_value":0}},' +
      '"listener_filters_timeout":"0.100s","traffic_direction":"OUTBOUND","bind_to_port":false}',
  );
});

test('an Any is spread with its @type', () => {
  const any = packAny(TYPE_LISTENER, Listener.create({ name: 'in' }));
  expect(writeJson('google.protobuf.Any', any)).toEqual({ '@type': TYPE_LISTENER, name: 'in' });
});

test('an Any that cannot be read keeps its bytes', () => {
  const value = Uint8Array.of(0x0a, 0x09);
  expect(writeJson('google.protobuf.Any', { typeUrl: TYPE_LISTENER, value })).toEqual({
    '@type': TYPE_LISTENER,
    value: 'Cgk=',
  });
  expect(writeJson('google.protobuf.Any', { typeUrl: 'x/none', value })).toEqual({
    '@type': 'x/none',
    value: 'Cgk=',
  });
});

test('Any in Any without end is written without end of the stack', () => {
  let any: Any = { typeUrl: 'x/none', value: new Uint8Array() };
  for (let i = 0; i < 1_000; i++) any = packAny('type.googleapis.com/google.protobuf.Any', any);
  expect(JSON.stringify(writeJson('google.protobuf.Any', any)).length).toBeLessThan(1_000_000);
});

test('a decoded Struct has no prototype', () => {
  const metadata = JSON.parse('{"__proto__": {"polluted": true}}');
  const node = Node.decode(Node.encode(Node.create({ metadata })).finish());
  expect(Object.getPrototypeOf(node.metadata)).toBeNull();
  expect(Object.keys(node.metadata!)).toEqual(['__proto__']);
  expect(JSON.stringify(writeJson('envoy.config.core.v3.Node', node))).toBe(
    '{"metadata":{"__proto__":{"polluted":true}}}',
  );
});

test('an enum number without a name stays a number', () => {
  const listener = { ...Listener.create(), drainType: 9 as never };
  expect(writeJson(LISTENER, listener)).toEqual({ drain_type: 9 });
});
