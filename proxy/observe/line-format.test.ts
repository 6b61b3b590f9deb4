import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compileJsonAccessLog, compileTextAccessLog } from './access-log-format.ts';
import { ANY_RECORD, LineReader, lineOf, lineText } from './line.testing.ts';
import type { LineFormat } from './line-format.ts';
import { LineQueue } from './line-queue.ts';
import { RequestRecord } from './request-record.ts';

const runs = Number(process.env['WEFT_FUZZ_RUNS'] ?? 300);

const TEXT =
  '[%START_TIME%] é "%REQ(:METHOD)% %REQ(:PATH)%" %RESPONSE_CODE% %RESPONSE_CODE:2% %BYTES_SENT% ' +
  '"%REQ(USER-AGENT):50%" %UPSTREAM_HOST%%UPSTREAM_CLUSTER% %DURATION%\n';
const JSON_TEMPLATE = {
  start: '%START_TIME%',
  path: '%REQ(:PATH)%',
  'kéy "q"': ['%RESPONSE_CODE%', null, { host: '%UPSTREAM_HOST%', cut: '%REQ(:METHOD):2%' }],
  deep: { agent: '%REQ(USER-AGENT)%', none: { host: '%UPSTREAM_HOST%' } },
  both: '%REQ(:METHOD)% %REQ(:PATH)% é',
  sent: '%BYTES_SENT%',
};

const FORMATS: Readonly<Record<string, () => LineFormat>> = {
  text: () => ok(compileTextAccessLog(TEXT)),
  'text without a line feed': () => ok(compileTextAccessLog('%REQ(:PATH)%%RESPONSE_CODE%')),
  JSON: () => ok(compileJsonAccessLog(JSON_TEMPLATE)),
  'JSON without empty values': () =>
    ok(compileJsonAccessLog(JSON_TEMPLATE, { omitEmptyValues: true })),
};

function ok<T extends object>(format: T | { readonly problem: string }): T {
  if ('problem' in format) throw new Error(format.problem);
  return format;
}

const value = fc.oneof(
  fc.constantFrom('', 'GET', '/a', '10.0.0.1:80', 'x'.repeat(41), 'y'.repeat(70)),
  fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)),
    maxLength: 60,
  }),
  fc.constant('€ from a configuration'),
);
const number = fc.oneof(fc.nat(12), fc.constantFrom(99, 100, 2 ** 31 - 1, 2 ** 31, 2 ** 53, 1e21));
const request = fc.record({
  method: value,
  path: value,
  upstreamHost: value,
  upstreamCluster: value,
  requestHeaders: value.map((agent) => ['user-agent', agent]),
  status: number,
  bytesSent: number,
  endMs: fc.constantFrom(0, 1_001, 1_250),
  startTimeMs: fc.constantFrom(1_772_719_629_999, 1_772_719_630_000, 1_772_719_630_007.5, -1),
});

function recordOf(fields: Partial<RequestRecord>): RequestRecord {
  return Object.assign(new RequestRecord(0, 1_000, ANY_RECORD.downstream), fields);
}

test.each(Object.entries(FORMATS))(
  '[OB-07] fuzz: a line of %s says the same whatever lines were written before it',
  (_, compile) => {
    fc.assert(
      fc.property(fc.array(request, { minLength: 2, maxLength: 30 }), (requests) => {
        const format = compile();
        const reader = new LineReader();
        for (const [at, fields] of requests.entries()) {
          // Every other record differs in a part of its fields only.
          const record = recordOf(
            at % 2 === 0 ? fields : { ...requests[at - 1], path: fields.path },
          );
          expect(reader.read(format, record)).toBe(lineText(compile(), record));
          if (at % 7 === 0) reader.read(lineOf('of another format\n'), record);
        }
      }),
      { numRuns: Math.ceil(runs / 3) },
    );
  },
);

test('a reader that throws leaves no half line, and the lines after it are whole', () => {
  for (const compile of Object.values(FORMATS)) {
    const format = compile();
    const queue = new LineQueue(1_000_000);
    const good = recordOf({ method: 'GET', path: '/good', upstreamHost: 'h' });
    const bad = recordOf({ method: 'PUT', path: '/bad' });
    Object.defineProperty(bad, 'bytesSent', {
      get: () => {
        throw new Error('read');
      },
    });
    Object.defineProperty(bad, 'status', Object.getOwnPropertyDescriptor(bad, 'bytesSent')!);
    for (const record of [good, bad, good, bad, bad, good]) {
      queue.begin();
      if (record === bad) expect(() => format.write(record, queue)).toThrow('read');
      else {
        format.write(record, queue);
        queue.end();
      }
    }
    queue.take(false);
    const text = queue.batch!.toString('utf8', queue.batchFrom, queue.batchTo);
    expect(text).toBe(lineText(compile(), good).repeat(3));
  }
});

test('one format may write to several files', () => {
  const format = FORMATS['text']!();
  const readers = [new LineReader(), new LineReader()];
  for (let at = 0; at < 50; at += 1) {
    const record = recordOf({ path: `/${at % 3}`, status: 200 + (at % 2) });
    expect(readers[at % 2]!.read(format, record)).toBe(lineText(FORMATS['text']!(), record));
  }
});

test('lines of one format go on in the next chunk', () => {
  const format = FORMATS['text']!();
  const queue = new LineQueue(8 * 1024 * 1024);
  let expected = '';
  for (let at = 0; at < 3_000; at += 1) {
    const record = recordOf({
      path: `/${'p'.repeat(at % 50)}`,
      method: at % 5 === 0 ? 'POST' : 'GET',
    });
    queue.begin();
    format.write(record, queue);
    queue.end();
    expected += lineText(FORMATS['text']!(), record);
  }
  let text = '';
  while (queue.take(false)) {
    text += queue.batch!.toString('utf8', queue.batchFrom, queue.batchTo);
    queue.release();
  }
  expect(text).toBe(expected);
});
