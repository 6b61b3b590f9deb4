import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { MessageName } from './any.ts';
import { messageNames } from './fields.ts';
import { readJson } from './json-reader.ts';
import { writeJson } from './json-writer.ts';
import { codecOf } from './message-codec.ts';
import { someMessage } from './some-message.testing.ts';
import { wrapWellKnown } from './well-known.ts';

const NUM_RUNS = Number(process.env['WEFT_FUZZ_RUNS'] ?? 300);
/** Whole messages cost milliseconds each. */
const MESSAGE_RUNS = Math.min(NUM_RUNS, 5_000);
const LONG = { timeout: 300_000 };
const NAMES = [...messageNames()] as MessageName[];

test('fuzz: a message written as JSON reads back as the same message', LONG, () => {
  fc.assert(
    fc.property(fc.gen(), (g) => {
      const name = g(fc.constantFrom<MessageName[]>, ...NAMES);
      const message = wrapWellKnown(name, someMessage(g, name, 0)) as never;
      const json = JSON.parse(JSON.stringify(writeJson(name, message)));
      const read = readJson(name, json);
      expect(read.problems).toEqual([]);
      expect(encode(name, read.message)).toEqual(encode(name, message));
    }),
    { numRuns: MESSAGE_RUNS },
  );
});

test('fuzz: a message with a piece of its JSON replaced never throws', LONG, () => {
  fc.assert(
    fc.property(fc.gen(), fc.jsonValue(), fc.nat(), (g, junk, where) => {
      const name = g(fc.constantFrom<MessageName[]>, ...NAMES);
      const json = JSON.parse(
        JSON.stringify(writeJson(name, wrapWellKnown(name, someMessage(g, name, 0)) as never)),
      );
      const read = readJson(name, replaceOne(json, where, junk));
      const bytes = encode(name, read.message);
      expect(encode(name, codecOf(name)!.decode(bytes))).toEqual(bytes);
    }),
    { numRuns: MESSAGE_RUNS },
  );
});

test('fuzz: any value at all is read or refused, never thrown at', LONG, () => {
  fc.assert(
    fc.property(fc.constantFrom(...NAMES), fc.anything(), (name, value) => {
      encode(name, readJson(name, value).message);
    }),
    { numRuns: NUM_RUNS },
  );
});

test('fuzz: any bytes in an Any can be written', LONG, () => {
  fc.assert(
    fc.property(fc.constantFrom(...NAMES), fc.uint8Array({ maxLength: 64 }), (name, value) => {
      const any = { typeUrl: `type.googleapis.com/${name}`, value };
      JSON.stringify(writeJson('google.protobuf.Any', any));
    }),
    { numRuns: NUM_RUNS },
  );
});

function encode(name: string, message: unknown): Buffer {
  return Buffer.from(codecOf(name)!.encode(message));
}

/** The JSON with the `where`-th of its values (counted in order) replaced. */
function replaceOne(json: unknown, where: number, junk: unknown): unknown {
  const places: (() => void)[] = [];
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    const object = value as Record<string, unknown>;
    for (const name of Object.keys(object)) {
      places.push(() => Object.defineProperty(object, name, { value: junk, enumerable: true }));
      visit(object[name]);
    }
  };
  visit(json);
  if (places.length === 0) return junk;
  places[where % places.length]!();
  return json;
}
