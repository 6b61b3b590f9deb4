import { describe, expect, test } from 'vitest';
import { HpackDecoder } from './hpack-decoder.ts';
import { huffmanDecode } from './huffman-decoder.ts';
import { huffmanBytes, huffmanEncode } from './huffman-encoder.ts';
import { IntegerReader, writeInteger } from './integer.ts';

/** RFC 7541 appendix C, every example. */

const hex = (text: string) => Buffer.from(text.replace(/\s/g, ''), 'hex');

describe('C.1 integers', () => {
  test.each([
    ['C.1.1', 10, 5, '0a'],
    ['C.1.2', 1337, 5, '1f9a0a'],
    ['C.1.3', 42, 8, '2a'],
  ])('%s: %i with a prefix of %i bits', (_name, value, bits, wire) => {
    const out = Buffer.alloc(8);
    expect(out.toString('hex', 0, writeInteger(out, 0, 0, bits, value))).toBe(wire);
    const reader = new IntegerReader();
    expect(reader.read(hex(wire), 0, wire.length / 2, bits)).toBe(value);
    expect(reader.at).toBe(wire.length / 2);
  });

  test('an integer that is cut off, too long or too large is refused', () => {
    const reader = new IntegerReader();
    expect(reader.read(hex('1f'), 0, 1, 5)).toBe(-1);
    expect(reader.read(hex('1f9a'), 0, 2, 5)).toBe(-1);
    expect(reader.read(hex('1f808080808080808001'), 0, 10, 5)).toBe(-1);
    expect(reader.read(hex('1fffffffff7f'), 0, 6, 5)).toBe(-1);
  });
});

interface Example {
  readonly name: string;
  readonly wire: string;
  readonly fields: readonly string[];
  readonly tableBytes: number;
}

const get = (path: string, scheme: string) => [
  ...[':method', 'GET', ':scheme', scheme, ':path', path],
  ...[':authority', 'www.example.com'],
];
const ok = ['cache-control', 'private', 'date', 'Mon, 21 Oct 2013 20:13:21 GMT'];
const location = ['location', 'https://www.example.com'];
const third = [
  ...[':status', '200', 'cache-control', 'private', 'date', 'Mon, 21 Oct 2013 20:13:22 GMT'],
  ...['location', 'https://www.example.com', 'content-encoding', 'gzip'],
  ...['set-cookie', 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1'],
];

/** Series that share one table of `tableBytes`. */
const SERIES: readonly { tableBytes: number; examples: readonly Example[] }[] = [
  {
    tableBytes: 4096,
    examples: [
      {
        name: 'C.2.1 literal with indexing',
        wire: '400a637573746f6d2d6b65790d637573746f6d2d686561646572',
        fields: ['custom-key', 'custom-header'],
        tableBytes: 55,
      },
    ],
  },
  {
    tableBytes: 4096,
    examples: [
      {
        name: 'C.2.2 literal without indexing',
        wire: '040c2f73616d706c652f70617468',
        fields: [':path', '/sample/path'],
        tableBytes: 0,
      },
      {
        name: 'C.2.3 literal never indexed',
        wire: '100870617373776f726406736563726574',
        fields: ['password', 'secret'],
        tableBytes: 0,
      },
      { name: 'C.2.4 indexed', wire: '82', fields: [':method', 'GET'], tableBytes: 0 },
    ],
  },
  {
    tableBytes: 4096,
    examples: [
      {
        name: 'C.3.1 first request',
        wire: '828684410f7777772e6578616d706c652e636f6d',
        fields: get('/', 'http'),
        tableBytes: 57,
      },
      {
        name: 'C.3.2 second request',
        wire: '828684be58086e6f2d6361636865',
        fields: [...get('/', 'http'), 'cache-control', 'no-cache'],
        tableBytes: 110,
      },
      {
        name: 'C.3.3 third request',
        wire: '828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565',
        fields: [...get('/index.html', 'https'), 'custom-key', 'custom-value'],
        tableBytes: 164,
      },
    ],
  },
  {
    tableBytes: 4096,
    examples: [
      {
        name: 'C.4.1 first request, Huffman',
        wire: '828684418cf1e3c2e5f23a6ba0ab90f4ff',
        fields: get('/', 'http'),
        tableBytes: 57,
      },
      {
        name: 'C.4.2 second request, Huffman',
        wire: '828684be5886a8eb10649cbf',
        fields: [...get('/', 'http'), 'cache-control', 'no-cache'],
        tableBytes: 110,
      },
      {
        name: 'C.4.3 third request, Huffman',
        wire: '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
        fields: [...get('/index.html', 'https'), 'custom-key', 'custom-value'],
        tableBytes: 164,
      },
    ],
  },
  {
    tableBytes: 256,
    examples: [
      {
        name: 'C.5.1 first response',
        wire: `4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54
          6e1768747470733a2f2f7777772e6578616d706c652e636f6d`,
        fields: [':status', '302', ...ok, ...location],
        tableBytes: 222,
      },
      {
        name: 'C.5.2 second response: an entry is evicted',
        wire: '4803333037c1c0bf',
        fields: [':status', '307', ...ok, ...location],
        tableBytes: 222,
      },
      {
        name: 'C.5.3 third response: several are',
        wire: `88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f
          3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31`,
        fields: third,
        tableBytes: 215,
      },
    ],
  },
  {
    tableBytes: 256,
    examples: [
      {
        name: 'C.6.1 first response, Huffman',
        wire: `488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b
          97c8e9ae82ae43d3`,
        fields: [':status', '302', ...ok, ...location],
        tableBytes: 222,
      },
      {
        name: 'C.6.2 second response, Huffman',
        wire: '4883640effc1c0bf',
        fields: [':status', '307', ...ok, ...location],
        tableBytes: 222,
      },
      {
        name: 'C.6.3 third response, Huffman',
        wire: `88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd
          5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007`,
        fields: third,
        tableBytes: 215,
      },
    ],
  },
];

describe('C.2 to C.6 field sections', () => {
  for (const { tableBytes, examples } of SERIES) {
    const names = examples.map(({ name }) => name).join(', ');
    test(names, () => {
      const decoder = new HpackDecoder(tableBytes, 4096, 100);
      for (const example of examples) {
        const wire = hex(example.wire);
        expect(decoder.decode(wire, 0, wire.length), example.name).toBe(true);
        expect(decoder.fields, example.name).toEqual(example.fields);
        expect(decoder.tableSizeBytes, example.name).toBe(example.tableBytes);
      }
    });
  }
});

describe('5.2 Huffman', () => {
  const decode = (wire: string) => {
    const out = Buffer.alloc(64);
    const bytes = hex(wire);
    const length = huffmanDecode(bytes, 0, bytes.length, out);
    return length < 0 ? null : out.toString('latin1', 0, length);
  };

  test('all 256 bytes go both ways', () => {
    const text = Buffer.from(Uint8Array.from({ length: 256 }, (_, byte) => byte)).toString(
      'latin1',
    );
    const coded = Buffer.alloc(1024);
    const end = huffmanEncode(text, coded, 0);
    expect(end).toBe(huffmanBytes(text));
    const out = Buffer.alloc(2048);
    const length = huffmanDecode(coded, 0, end, out);
    expect(out.toString('latin1', 0, length)).toBe(text);
  });

  test.each([
    ['eight bits of padding', 'f1e3c2e5f23a6ba0ab90f4ffff', null],
    ['padding with zeros', '00', null],
    ['EOS', 'ffffffff', null],
    ['EOS within', '1fffffffff', null],
    ['no padding needed: eight symbols of five bits', '0000000000', '00000000'],
    ['nothing', '', ''],
  ])('%s', (_name, wire, text) => {
    expect(decode(wire)).toBe(text);
  });
});
