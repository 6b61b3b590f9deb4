import { decode, encode } from 'dns-packet';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { question, told } from './dns.testing.ts';
import { type ParsedQuery, parseQuery } from './dns-query.ts';
import { codeReply, headerReply, meshReply, type ReplyRecord } from './dns-reply.ts';

const runs = { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 2_000) };

const HEAD = [0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
const NAME = [1, 0x61, 0]; // a.
const TYPE_A_IN = [0, 1, 0, 1];
const OPT = [0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]; // 1232 bytes
const withCounts = (...counts: number[]) => [
  0x12,
  0x34,
  0x01,
  0x00,
  ...counts.flatMap((n) => [n >> 8, n & 255]),
];
const code = (parsed: ParsedQuery) => (parsed.kind === 'refused' ? parsed.code : parsed.kind);

test('a question is read to the letter', () => {
  const parsed = parseQuery(question('Reviews.Default', 'AAAA', { ednsBytes: 1400 }));
  expect(parsed).toMatchObject({
    kind: 'query',
    query: {
      id: 0x1234,
      name: 'reviews.default',
      type: 28,
      class: 1,
      edns: { udpBytes: 1400, version: 0 },
    },
  });
  if (parsed.kind === 'query')
    expect(parsed.query.question.toString('latin1')).toContain('Reviews');
});

test.each<[string, number[], unknown]>([
  ['nothing', [], 'ignored'],
  ['less than a header', HEAD.slice(0, 11), 'ignored'],
  ['a response', [0x12, 0x34, 0x81, ...HEAD.slice(3), ...NAME, ...TYPE_A_IN], 'ignored'],
  ['an update (opcode 5)', [0x12, 0x34, 0x28, ...HEAD.slice(3), ...NAME, ...TYPE_A_IN], 4],
  ['no question', withCounts(0, 0, 0, 0), 1],
  ['two questions', [...withCounts(2, 0, 0, 0), ...NAME, ...TYPE_A_IN, ...NAME, ...TYPE_A_IN], 1],
  ['answers in a question', [...withCounts(1, 1, 0, 0), ...NAME, ...TYPE_A_IN], 1],
  ['65 535 further records', [...withCounts(1, 0, 0, 65_535), ...NAME, ...TYPE_A_IN], 1],
  ['a name without its end', [...HEAD, 1, 0x61], 1],
  ['a name longer than the message', [...HEAD, 63, 0x61], 1],
  ['no type', [...HEAD, ...NAME, 0, 1], 1],
  ['a pointer to itself', [...HEAD, 0xc0, 12, ...TYPE_A_IN], 1],
  ['a pointer forward', [...HEAD, 0xc0, 14, ...NAME, ...TYPE_A_IN], 1],
  ['a pointer into the header', [...HEAD, 0xc0, 0, ...TYPE_A_IN], 1],
  ['a label of the reserved kind', [...HEAD, 0x41, 0x61, 0, ...TYPE_A_IN], 1],
  [
    'a name of 256 bytes',
    [
      ...HEAD,
      ...Array.from({ length: 4 }, () => [63, ...Array(63).fill(0x61)]).flat(),
      0,
      ...TYPE_A_IN,
    ],
    1,
  ],
  ['an additional record that is not there', [...withCounts(1, 0, 0, 1), ...NAME, ...TYPE_A_IN], 1],
  [
    'an additional record that is cut',
    [...withCounts(1, 0, 0, 1), ...NAME, ...TYPE_A_IN, ...OPT.slice(0, 9)],
    1,
  ],
  [
    'data longer than the message',
    [...withCounts(1, 0, 0, 1), ...NAME, ...TYPE_A_IN, ...OPT.slice(0, 10), 9],
    1,
  ],
  ['two OPT records', [...withCounts(1, 0, 0, 2), ...NAME, ...TYPE_A_IN, ...OPT, ...OPT], 1],
  [
    'an OPT record of a name',
    [...withCounts(1, 0, 0, 1), ...NAME, ...TYPE_A_IN, 1, 0x61, ...OPT],
    1,
  ],
])('%s', (_, bytes, expected) => {
  expect(code(parseQuery(Buffer.from(bytes)))).toBe(expected);
});

test('a name of 255 bytes is the longest', () => {
  const labels = [63, 63, 63, 61].flatMap((length) => [length, ...Array(length).fill(0x61)]);
  const parsed = parseQuery(Buffer.from([...HEAD, ...labels, 0, ...TYPE_A_IN]));
  expect(parsed.kind === 'query' && parsed.query.name.length).toBe(253);
});

test.each([
  ['a dot inside of a label', [3, 0x61, 0x2e, 0x62, 0]],
  ['a byte above ASCII', [1, 0xe4, 0]],
  ['a zero byte', [2, 0x61, 0, 0]],
  ['the root', [0]],
])('%s is no name of the mesh, and is repeated as it came', (_, name) => {
  const parsed = parseQuery(Buffer.from([...HEAD, ...name, ...TYPE_A_IN]));
  if (parsed.kind !== 'query') throw new Error(parsed.kind);
  expect(parsed.query.name).toBe('');
  expect([...codeReply(parsed.query, 2).subarray(12)]).toEqual([...name, ...TYPE_A_IN]);
});

test('what follows the message is left off', () => {
  const bytes = question('a');
  const parsed = parseQuery(Buffer.concat([bytes, Buffer.from('more')]));
  expect(parsed.kind === 'query' && parsed.query.bytes).toEqual(bytes);
});

test('fuzz [A1] any bytes give a query, an error or nothing, and an answer that is well formed', () => {
  const looksRight = fc
    .tuple(fc.uint8Array({ minLength: 2, maxLength: 2 }), fc.uint8Array({ maxLength: 80 }))
    .map(([head, rest]) =>
      Uint8Array.from([...head, 1, 0, 0, 1, 0, 0, 0, 0, 0, rest.length % 3, ...rest]),
    );
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 600 }), looksRight), (bytes) => {
      const parsed = parseQuery(Buffer.from(bytes));
      if (parsed.kind === 'ignored') return;
      const reply =
        parsed.kind === 'refused'
          ? headerReply(parsed.id, parsed.flags, parsed.code)
          : codeReply(parsed.query, 2);
      expect(reply.readUInt16BE(0)).toBe(bytes[0]! * 256 + bytes[1]!);
      expect(reply[2]! & 0x80).toBe(0x80);
      expect(reply.length).toBeLessThanOrEqual(Math.max(12, bytes.length + 11));
      if (parsed.kind === 'query') expect(() => decode(reply)).not.toThrow();
    }),
    runs,
  );
});

test('fuzz a question of dns-packet is read as dns-packet reads it', () => {
  const label = fc.stringMatching(/^[a-zA-Z0-9_-]{1,20}$/);
  fc.assert(
    fc.property(
      fc.array(label, { minLength: 1, maxLength: 10 }),
      fc.constantFrom('A', 'AAAA', 'SRV', 'TXT'),
      fc.nat(0xffff),
      fc.nat(4096),
      (labels, type, id, ednsBytes) => {
        const bytes = question(labels.join('.'), type, { id, ednsBytes });
        const packet = decode(bytes);
        const parsed = parseQuery(bytes);
        if (parsed.kind !== 'query') throw new Error(parsed.kind);
        expect(parsed.query.name).toBe(packet.questions![0]!.name.toLowerCase());
        expect(parsed.query.id).toBe(packet.id);
        expect(parsed.query.bytes.equals(bytes)).toBe(true);
      },
    ),
    runs,
  );
});

function query(...args: Parameters<typeof question>) {
  const parsed = parseQuery(question(...args));
  if (parsed.kind !== 'query') throw new Error(parsed.kind);
  return parsed.query;
}

const many = Array.from(
  { length: 100 },
  (_, n): ReplyRecord => ({ owner: '', type: 'A', data: `10.0.0.${n}` }),
);

test('an answer is cut at the size that the client takes, and says so', () => {
  for (const bytesMax of [512, 513, 700, 1232]) {
    const reply = meshReply(query('reviews', 'A', { ednsBytes: bytesMax }), many, many, bytesMax);
    expect(reply.length).toBeLessThanOrEqual(bytesMax);
    expect(bytesMax - reply.length).toBeLessThan(16);
    expect(told(reply)).toMatchObject({ isCut: true, hasEdns: true, additionals: [] });
  }
  const whole = meshReply(query('reviews'), many, [], 65_535);
  expect(told(whole)).toMatchObject({ isCut: false, hasEdns: false });
  expect(told(whole).answers).toHaveLength(100);
  expect(told(whole).ttls[0]).toBe(30);
});

test('further records that do not fit are left out without a word', () => {
  const reply = meshReply(query('reviews'), many.slice(0, 1), many, 512);
  expect(told(reply).isCut).toBe(false);
  expect(told(reply).additionals.length).toBeGreaterThan(10);
});

test('records of every type are as dns-packet reads them', () => {
  const reply = meshReply(
    query('x'),
    [
      { owner: '', type: 'CNAME', data: 'reviews.default' },
      { owner: 'reviews.default', type: 'AAAA', data: '2001:2::7' },
      { owner: '', type: 'SRV', data: { port: 80, target: 'reviews.default' } },
    ],
    [],
    512,
  );
  expect(told(reply)).toMatchObject({
    code: 'NOERROR',
    isOwn: true,
    questions: ['x A'],
    answers: [
      'x CNAME reviews.default',
      'reviews.default AAAA 2001:2::7',
      'x SRV {"priority":0,"weight":100,"port":80,"target":"reviews.default"}',
    ],
  });
});

test('a message that counts records by the thousand, all of them pointers, costs next to nothing', () => {
  // dns-packet itself follows 60 million pointers here.
  const bytes = Buffer.alloc(65_535, 0);
  encode({ type: 'query', questions: [] }).copy(bytes);
  for (let at = 14; at < 16_000; at += 2) bytes.writeUInt16BE(0xc000 + at - 2, at);
  for (let at = 16_000; at + 6 < bytes.length; at += 6) bytes.writeUInt16BE(0xc000 + 15_998, at);
  bytes.writeUInt16BE(8_000, 4);
  const startMs = performance.now();
  for (let round = 0; round < 1_000; round++) expect(code(parseQuery(bytes))).toBe(1);
  expect(performance.now() - startMs).toBeLessThan(1_000);
});
