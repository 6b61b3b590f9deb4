import { expect, test } from 'vitest';
import { LoadFailed } from '../rounds.ts';
import { parseH2load, parseLatencies } from './h2load.ts';

const SHAPE = { connections: 8, streams: 32 };
const output = (requests: string, codes: string) => `finished in 1.00s, 590656.00 req/s, 593.15MB/s
requests: ${requests}
status codes: ${codes}
traffic: 593.15MB (621961728) total, 6.20MB (6497984) headers (space savings 92.95%), 576.81MB (604831744) data
`;
const GOOD = output(
  '590656 total, 590912 started, 590656 done, 590656 succeeded, 0 failed, 0 errored, 0 timeout',
  '590656 2xx, 0 3xx, 0 4xx, 0 5xx',
);

test('answers with 2xx are counted', () => {
  expect(parseH2load(GOOD, SHAPE)).toBe(590_656);
});

test.each([
  [
    'a status that is not 2xx',
    output(
      '10 total, 10 started, 10 done, 7 succeeded, 3 failed, 0 errored, 0 timeout',
      '7 2xx, 0 3xx, 0 4xx, 3 5xx',
    ),
  ],
  [
    'a redirect',
    output(
      '10 total, 10 started, 10 done, 10 succeeded, 0 failed, 0 errored, 0 timeout',
      '7 2xx, 3 3xx, 0 4xx, 0 5xx',
    ),
  ],
  [
    'a connection that ended',
    output(
      '10 total, 10 started, 8 done, 8 succeeded, 2 failed, 2 errored, 0 timeout',
      '8 2xx, 0 3xx, 0 4xx, 0 5xx',
    ),
  ],
  ['no count at all', 'starting benchmark...\n'],
  ['what is not HTTP', `[ERROR] HTTP parse error: (HPE_INVALID_CONSTANT) Expected HTTP/\n${GOOD}`],
])('%s fails the load', (_, text) => {
  expect(() => parseH2load(text, SHAPE)).toThrow(LoadFailed);
});

test('answers without the body that they should have fail the load: gRPC says its errors in trailers', () => {
  expect(parseH2load(GOOD, { ...SHAPE, answerBytesMin: 1024 })).toBe(590_656);
  expect(() => parseH2load(GOOD, { ...SHAPE, answerBytesMin: 1025 })).toThrow(
    /604831744 bytes of bodies in 590656 answers/,
  );
});

test('durations are read as milliseconds', () => {
  expect(parseLatencies('1795641626805714\t200\t125\n1795641626805744\t204\t1290\n')).toEqual([
    0.125, 1.29,
  ]);
});

test('one status that is not 2xx fails the log', () => {
  expect(() => parseLatencies('1\t200\t125\n2\t503\t90\n')).toThrow(/status 503/);
});
