import { BinaryWriter } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { messageInfo, messageNames } from './fields.ts';
import { GENERATED_CODECS } from './gen/codecs.ts';
import { codecOf } from './message-codec.ts';
import { someMessage } from './some-message.testing.ts';
import { runToEnd } from './steps.ts';
import { wrapWellKnown } from './well-known.ts';

const NUM_RUNS = Number(process.env['WEFT_FUZZ_RUNS'] ?? 300);
const MESSAGE_RUNS = Math.min(NUM_RUNS, 5_000);
const LONG = { timeout: 300_000 };
const NAMES = [...messageNames()];

test('there is a codec for each message that ts-proto made one for, and for no other', () => {
  expect(NAMES.toSorted()).toEqual([...GENERATED_CODECS.keys()].toSorted());
  for (const name of ['', 'constructor', 'envoy.None']) expect(codecOf(name)).toBeUndefined();
});

test.each(NAMES)('%s: a new message is the one ts-proto makes', (name) => {
  expect(codecOf(name)!.create()).toEqual(GENERATED_CODECS.get(name)!.create());
  expect(codecOf(name)!.encode(codecOf(name)!.create())).toHaveLength(0);
});

test('the empty lists and maps that messages share cannot be filled', () => {
  const message = codecOf('envoy.config.route.v3.Route')!.create();
  const [list, map] = [message['requestHeadersToAdd'], message['typedPerFilterConfig']];
  expect(() => (list as unknown[]).push(1)).toThrow(TypeError);
  expect(() => (map as Map<string, unknown>).set('a', 1)).toThrow(TypeError);
});

test(
  'fuzz: each message of the subset is the same bytes and the same value by table and as generated',
  LONG,
  () => {
    for (const name of NAMES) {
      fc.assert(
        fc.property(fc.gen(), (g) => sameBothWays(name, g)),
        { numRuns: Math.ceil(MESSAGE_RUNS / 30) },
      );
    }
  },
);

function sameBothWays(name: string, g: fc.GeneratorValue): void {
  const generated = GENERATED_CODECS.get(name)!;
  const message = wrapWellKnown(name, someMessage(g, name, 0));
  const bytes = codecOf(name)!.encode(message);
  expect(Buffer.from(bytes)).toEqual(Buffer.from(generated.encode(message).finish()));
  expect(codecOf(name)!.decode(bytes)).toEqual(generated.decode(bytes));
}

/** The value, or the error's text. */
function outcome(decode: () => unknown): unknown {
  try {
    return { value: decode() };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

function expectSameOutcome(name: string, bytes: Uint8Array): void {
  const generated = outcome(() => GENERATED_CODECS.get(name)!.decode(bytes));
  expect(outcome(() => codecOf(name)!.decode(bytes))).toEqual(generated);
  for (const largeBytes of [0, 1, 8]) {
    const inSteps = outcome(() => runToEnd(codecOf(name)!.decodeSteps(bytes, largeBytes)));
    expect(inSteps).toEqual(generated);
  }
}

test('fuzz: any bytes end in the same value or the same error', LONG, () => {
  fc.assert(
    fc.property(fc.constantFrom(...NAMES), fc.uint8Array({ maxLength: 40 }), expectSameOutcome),
    { numRuns: NUM_RUNS * 10 },
  );
});

test('fuzz: a good message with bytes changed, cut or said twice ends the same', LONG, () => {
  fc.assert(
    fc.property(fc.gen(), fc.nat(), fc.nat(255), fc.nat(3), (g, where, byte, how) => {
      const name = g(fc.constantFrom<string[]>, ...NAMES);
      const good = codecOf(name)!.encode(wrapWellKnown(name, someMessage(g, name, 0)));
      const at = where % (good.length + 1);
      const pieces: readonly (readonly Uint8Array[])[] = [
        [good.subarray(0, at)],
        [good.subarray(0, at), Uint8Array.of(byte), good.subarray(at + 1)],
        [good, good],
        [good.subarray(0, at), Uint8Array.of(byte), good.subarray(at)],
      ];
      expectSameOutcome(name, Buffer.concat(pieces[how]!));
    }),
    { numRuns: NUM_RUNS * 3 },
  );
});

/** A field of wire type `type` at every number that the messages have, and beside them. */
test.each(NAMES)('%s: a field of another wire type is passed over as ts-proto does', (name) => {
  const payloads = [[1], [1, 0, 0, 0, 0, 0, 0, 0], [2, 8, 1], [0x0c], [], [1, 0, 0, 0]];
  for (const number of [...messageInfo(name)!.fields.map((field) => field.number), 5000]) {
    for (const [type, payload] of payloads.entries()) {
      const writer = new BinaryWriter()
        .uint32(((number << 3) | type) >>> 0)
        .raw(Buffer.from(payload));
      expectSameOutcome(name, writer.finish());
    }
  }
});

test('a large message is read with a pause after each of its fields and of those of a large one in it', () => {
  const codec = codecOf('envoy.config.route.v3.RouteConfiguration')!;
  const bytes = codec.encode({
    ...codec.create(),
    virtualHosts: ['a', 'b'].map((name) => ({
      ...codecOf('envoy.config.route.v3.VirtualHost')!.create(),
      name,
      domains: [name.repeat(20_000)],
      routes: Array.from({ length: 10 }, () => codecOf('envoy.config.route.v3.Route')!.create()),
    })),
  });
  expect([...codec.decodeSteps(bytes)]).toHaveLength(2 * 13);
  expect([...codec.decodeSteps(bytes, 1_000_000)]).toHaveLength(2);
});

describe('depth', () => {
  /** `count` AndFilters around each other: two levels each, the filter and the list. */
  const nested = (count: number): Uint8Array => {
    let bytes: Uint8Array = new Uint8Array(0);
    for (let n = 0; n < count; n++) {
      const list = new BinaryWriter().uint32(10).bytes(bytes).finish(); // AndFilter.filters
      bytes = new BinaryWriter().uint32(50).bytes(list).finish(); // AccessLogFilter.and_filter
    }
    return bytes;
  };
  const name = 'envoy.config.accesslog.v3.AccessLogFilter';

  test.each([1, 10, 48, 49, 50, 51, 200])('%i filters in one another', (count) => {
    expectSameOutcome(name, nested(count));
    const deep = outcome(() => codecOf(name)!.decode(nested(count)));
    expect('error' in (deep as object)).toBe(count >= 50);
  });

  test.each([30, 32, 33, 34, 40, 50, 99, 100, 101])('%i lists in a Value', (count) => {
    let bytes: Uint8Array = new Uint8Array(0);
    for (let n = 0; n < count; n++) {
      const list = new BinaryWriter().uint32(10).bytes(bytes).finish();
      bytes = new BinaryWriter().uint32(50).bytes(list).finish();
    }
    expectSameOutcome('google.protobuf.Value', bytes);
    const inStruct = new BinaryWriter()
      .uint32(10)
      .bytes(new BinaryWriter().uint32(18).bytes(bytes).finish());
    expectSameOutcome('google.protobuf.Struct', inStruct.finish());
  });
});

test.each([
  ['the largest safe number', [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]],
  ['2^53', [0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]],
  ['-1', [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]],
  ['-2^63', [0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]],
])('64 bits: %s', (_, bytes) => {
  for (const name of [
    'google.protobuf.Int64Value',
    'google.protobuf.UInt64Value',
    'google.protobuf.Duration',
  ]) {
    expectSameOutcome(name, Uint8Array.from(bytes));
  }
});
