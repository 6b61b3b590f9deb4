import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkExposition } from './exposition-lines.ts';

const RUNS = Number(process.env['WEFT_FUZZ_RUNS'] ?? 300);

const GOOD = `# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400",} 3 -1

msdos_file_access_time_seconds{path="C:\\\\DIR\\\\FILE.TXT",error="Cannot find file:\\n\\"FILE.TXT\\" }"} 1.458255915e9
metric_without_timestamp_and_labels 12.47
something_weird{problem="division by zero"} +Inf -3982045
rpc_duration_seconds{quantile="0.01"} 3102.5
a 0x1p-3
b NaN
c -.5
{"utf8.name",label="v"} 1
  # indented
tab\t1\t2
foo_bucket{le="0.01"} 8 # {trace_id="abc"} 0.004 1.0
created 1520879607.789
`;

test('[OB-05] what Prometheus and OpenMetrics write is passed on as it is', async () => {
  expect(await checkExposition(GOOD)).toEqual({ text: GOOD });
});

test('[OB-05] # EOF and what follows is taken off, a missing last line end is added', async () => {
  expect(await checkExposition('a 1\n# EOF\n')).toEqual({ text: 'a 1\n' });
  expect(await checkExposition('a 1\r\n# EOF\r\n')).toEqual({ text: 'a 1\r\n' });
  expect(await checkExposition('a 1\n# EOF\n<html>')).toEqual({ text: 'a 1\n' });
  expect(await checkExposition('a 1')).toEqual({ text: 'a 1\n' });
  expect(await checkExposition('')).toEqual({ text: '' });
});

test.each([
  ['<html>', 1],
  ['a 1\nb', 2],
  ['a one', 1],
  ['a{b="c} 1', 1],
  ['1a 1', 1],
  ['a 1 2 3', 1],
  ['a{b="c"}1', 1],
  ['a 1\u0000', 1],
])('[OB-05] %j is no page of metrics', async (text, line) => {
  expect(await checkExposition(text)).toEqual({
    problem: `line ${line} is neither a sample nor a comment`,
  });
});

test('a line without an end is refused', async () => {
  expect(await checkExposition(`# ${'x'.repeat(2 ** 20)}`)).toEqual({
    problem: 'line 1 is too long',
  });
});

test('fuzz: any text ends in a page or a problem', async () => {
  const piece = fc.oneof(
    fc.constantFrom('a', '{', '}', '"', '\\', ' ', '\n', '1', '#', '# EOF', 'le="1"', ',', '\t'),
    fc.string(),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 40 }), async (pieces) => {
      const result = await checkExposition(pieces.join(''));
      if ('text' in result) expect(await checkExposition(result.text)).toEqual(result);
    }),
    { numRuns: RUNS },
  );
});

test('[A7.4] the work grows with the text and no faster, whatever stands there', async () => {
  const took = async (line: string, length: number) => {
    const text = line.repeat(Math.ceil(length / line.length)).slice(0, length);
    const times: number[] = [];
    for (let run = 0; run < 5; run++) {
      const startMs = performance.now();
      await checkExposition(text);
      times.push(performance.now() - startMs);
    }
    return Math.min(...times);
  };
  for (const line of ['a{', 'a{b="', ' ', 'a ', 'a 1 ', '"', '\\"', 'a{b="c",']) {
    await took(line, 25_000);
    const [short, long] = [await took(line, 25_000), await took(line, 800_000)];
    // Thirty-two times the text; a square would be a thousand. Below the floor a timer says nothing.
    expect(long / Math.max(0.2, short)).toBeLessThan(250);
  }
});
