import { expect, test } from 'vitest';
import { LoadFailed } from '../rounds.ts';
import { parseWrk } from './wrk.ts';

const GOOD = `Running 1s test @ http://127.0.0.1:1/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.21ms  300.00us   9.80ms   90.00%
    Req/Sec    26.05k     1.12k   28.00k    70.00%
  26102 requests in 1.01s, 32.11MB read
Requests/sec:  25844.55
Transfer/sec:     31.79MB
`;

test('requests are counted', () => {
  expect(parseWrk(GOOD)).toBe(26_102);
});

test.each([
  ['  Non-2xx or 3xx responses: 3\n', '3 answers that are not 2xx'],
  ['  Socket errors: connect 0, read 2, write 0, timeout 1\n', 'read 2'],
])('%j fails the load', (line, why) => {
  expect(() => parseWrk(GOOD + line)).toThrow(LoadFailed);
  expect(() => parseWrk(GOOD + line)).toThrow(why);
});

test('an output without a count fails the load', () => {
  expect(() => parseWrk('unable to connect\n')).toThrow(/unable to connect/);
});
