import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Version, versionPath } from '../../test/version-path.ts';
import { CONNECTION_PREFACE } from '../http2/frame-reader.ts';
import { data, END_STREAM, headers, settings } from '../http2/wire.testing.ts';

/**
 * Whatever pair of versions carries it and however its bytes are cut: a valid message arrives equal, and a mutated one
 * arrives as exactly one message or not at all.
 */

const RUNS = Number(process.env['WEFT_FUZZ_RUNS'] ?? 150);

const version = fc.constantFrom<Version>('1.1', '2');
const versions = fc.array(version, { minLength: 2, maxLength: 3 });

const TOKEN = 'abcdefghijklmnopqrstuvwxyz0123456789-_.~!';
const name = fc
  .string({ unit: fc.constantFrom(...TOKEN), minLength: 1, maxLength: 12 })
  .map((text) => `f-${text}`);
const value = fc
  .array(
    fc.constantFrom('\t', ' ', '"', ',', ';', '=', 'a', 'Z', '0', '\x7e', '\x80', '\xff', ':'),
    {
      maxLength: 20,
    },
  )
  .map((parts) => parts.join('').trim());
const fields = fc.array(fc.tuple(name, value), { maxLength: 8 }).map((pairs) => pairs.flat());
const chunks = fc.array(
  fc.oneof(
    fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 40 }),
    fc.constant('0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n'),
    fc.nat(40_000).map((bytes) => 'x'.repeat(bytes + 1)),
  ),
  { maxLength: 4 },
);
const path = fc
  .string({ unit: fc.constantFrom(...'abc/?&=%41-_.~!$\'()*+,;:@"<>[]^{|}`'), maxLength: 30 })
  .map((text) => `/p${text}`);
const method = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'PURGE', 'x-y');

const message = fc.record({
  fields,
  body: chunks,
  trailers: fc.option(fields, { nil: null }),
  length: fc.boolean(),
});

/** How many bytes arrive at once, in turn. */
const cuts = fc.array(fc.integer({ min: 1, max: 3_000 }), { maxLength: 12 });

function cutter(sizes: readonly number[]): (bytes: Buffer) => number {
  let at = 0;
  return (bytes) => (sizes.length === 0 ? bytes.length : sizes[at++ % sizes.length]!);
}

interface Given {
  readonly fields: readonly string[];
  readonly body: readonly string[];
  readonly trailers: readonly string[] | null;
  readonly length: boolean;
}

/** A message as the harness takes it, and what has to arrive of it. */
function made(given: Given, http1Hop: boolean) {
  const body = given.body.join('');
  // A length where the body has one; HTTP/1.1 cannot frame trailers behind it.
  const length = given.length && body !== '' ? ['content-length', `${body.length}`] : [];
  const trailers = given.trailers !== null && given.trailers.length > 0 ? given.trailers : null;
  return {
    message: {
      headers: [...given.fields, ...length],
      body: given.body,
      trailers: trailers ?? undefined,
    },
    fields: pairs(given.fields),
    body,
    trailers: trailers === null || (http1Hop && length.length > 0) ? null : [...trailers],
  };
}

function pairs(fields: readonly string[]): string[] {
  const lines: string[] = [];
  for (let at = 0; at < fields.length; at += 2) lines.push(`${fields[at]}: ${fields[at + 1]}`);
  return lines;
}

test('fuzz: a valid request and its response arrive equal, cut anywhere, through any versions', () => {
  fc.assert(
    fc.property(
      versions,
      method,
      path,
      message,
      fc.integer({ min: 200, max: 599 }).filter((status) => status !== 204 && status !== 304),
      message,
      cuts,
      (hops, verb, target, request, status, response, sizes) => {
        const http1Hop = hops.includes('1.1');
        const mesh = versionPath(hops, { config: { normalizePath: false } });
        mesh.network.cut = cutter(sizes);
        const asked = made(request, http1Hop);
        const answered = made(response, http1Hop);
        mesh.app.onComplete = (request) => request.respond(status, defined(answered.message));
        const answer = mesh.request({ method: verb, path: target, ...defined(asked.message) });
        expect(mesh.app.requests.length).toBe(1);
        const { last } = mesh.app;
        expect([last.head.method, last.head.path, last.head.authority]).toEqual([
          verb,
          target,
          'a.example',
        ]);
        expect(last.fields).toEqual(asked.fields);
        expect([last.body, last.ended]).toEqual([asked.body, true]);
        expect(last.trailers).toEqual(asked.trailers);
        expect([answer.status, answer.ended, answer.reset]).toEqual([status, true, '']);
        expect(answer.fields).toEqual(answered.fields);
        expect(answer.body).toBe(answered.body);
        expect(answer.trailers).toEqual(answered.trailers);
        for (const records of mesh.records) expect(records.length).toBe(1);
      },
    ),
    { numRuns: RUNS },
  );
});

function defined(message: ReturnType<typeof made>['message']) {
  const { trailers, ...rest } = message;
  return trailers === undefined ? rest : { ...rest, trailers };
}

test('fuzz: a mutated HTTP/1.1 request arrives as one request or not at all', () => {
  let arrived = 0;
  const texts = fc.constantFrom(
    'POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nx-a: 1\r\n\r\nhello',
    'POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n',
    'GET http://b.example/p HTTP/1.1\r\nhost: a\r\nconnection: x-a, keep-alive\r\nx-a: 1\r\n\r\n',
  );
  fc.assert(
    fc.property(version, texts, mutations(), cuts, (up, text, changes, sizes) => {
      const bytes = mutated(Buffer.from(text, 'latin1'), changes);
      const mesh = versionPath(['1.1', up]);
      mesh.network.cut = cutter(sizes);
      mesh.app.onComplete = (request) => request.respond(200);
      mesh.rawClient().send(bytes);
      arrived += judge(mesh);
    }),
    { numRuns: 4 * RUNS },
  );
  // Neither is everything refused, nor does everything pass.
  expect(arrived).toBeGreaterThan(RUNS / 10);
  expect(arrived).toBeLessThan(4 * RUNS);
});

test('fuzz: a mutated HTTP/2 request arrives as one request or not at all', () => {
  let arrived = 0;
  const head = headers(
    1,
    0,
    ...[':method', 'POST', ':scheme', 'http', ':path', '/p', ':authority', 'a'],
    ...['content-length', '5', 'x-a', 'one', 'cookie', 'a=1', 'cookie', 'b=2', 'te', 'trailers'],
  );
  const request = Buffer.concat([head, data(1, 0, 'hello'), headers(1, END_STREAM, 'x-t', '1')]);
  fc.assert(
    fc.property(version, mutations(), cuts, (up, changes, sizes) => {
      const mesh = versionPath(['2', up]);
      mesh.network.cut = cutter(sizes);
      mesh.app.onComplete = (request) => request.respond(200);
      mesh.rawClient().send(CONNECTION_PREFACE, settings(), mutated(request, changes));
      arrived += judge(mesh);
    }),
    { numRuns: 4 * RUNS },
  );
  // Neither is everything refused, nor does everything pass.
  expect(arrived).toBeGreaterThan(RUNS / 10);
  expect(arrived).toBeLessThan(4 * RUNS);
});

/** Offset in parts of the whole, what happens there, and the byte for it. */
function mutations() {
  const byte = fc.oneof(
    fc.constantFrom(0, 0x0a, 0x0d, 0x20, 0x09, 0x3a, 0x23, 0x2c, 0x30, 0x35, 0x7f, 0x80, 0xff),
    fc.nat(255),
  );
  const change = fc.tuple(
    fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
    fc.constantFrom('replace', 'insert', 'remove'),
    byte,
  );
  return fc.array(change, { minLength: 1, maxLength: 3 });
}

function mutated(bytes: Buffer, changes: readonly [number, string, number][]): Buffer {
  let out = bytes;
  for (const [where, kind, byte] of changes) {
    const at = Math.floor(where * out.length);
    const behind = kind === 'insert' ? at : at + 1;
    const middle = kind === 'remove' ? [] : [byte];
    out = Buffer.concat([out.subarray(0, at), Buffer.from(middle), out.subarray(behind)]);
  }
  return out;
}

/** One request at most; and the app never finds a mistake that the proxy let pass. */
function judge(mesh: ReturnType<typeof versionPath>): number {
  const { requests, refusals } = mesh.app;
  expect(requests.length).toBeLessThanOrEqual(1);
  expect(refusals).toEqual([]);
  for (const request of requests) {
    expect(
      request.reset === '' ||
        /^(connectionTermination|remoteReset|localReset) /.test(request.reset),
    ).toBe(true);
    // What came as announced is no more than was sent.
    expect(request.bodyBytes).toBeLessThanOrEqual(200);
  }
  return requests.length;
}
