import fc from 'fast-check';
import { expect, test } from 'vitest';
import { exchange } from '../../test/proxy-exchange.ts';
import { isUuid, newRequestId, sampledByRequestId, withSampling } from './request-id.ts';
import { newTraceContext, readTraceContext } from './trace-context.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const PARENT = `00-${TRACE}-${SPAN}-01`;

function traced(headers: readonly string[], samplingPerMillion = 0) {
  const mesh = exchange({
    config: { tracingSamplingPerMillion: samplingPerMillion },
    random: () => 0.5,
  });
  mesh.connect().get('/', headers).close();
  return { attempt: mesh.cluster('a').last, record: mesh.record };
}

test('[OB-10] a request without an id gets a UUID, which the log has too', () => {
  const { attempt, record } = traced([]);
  const id = attempt.header('x-request-id') ?? '';
  expect(isUuid(id)).toBe(true);
  expect(record.requestId).toBe(id);
});

test('[OB-10] an id from inside the mesh is kept, whatever it looks like', () => {
  expect(traced(['x-request-id: mine']).attempt.header('x-request-id')).toBe('mine');
});

test('[OB-10] at an edge the id is replaced unless it is to be preserved', () => {
  const edge = (preserveExternalRequestId: boolean) => {
    const mesh = exchange({ config: { useRemoteAddress: true, preserveExternalRequestId } });
    mesh.connect().get('/', ['x-request-id: theirs']);
    return mesh.cluster('a').last.header('x-request-id');
  };
  expect(edge(false)).not.toBe('theirs');
  expect(edge(true)).toBe('theirs');
});

test('[OB-10] digit 14 of the id carries the sampling decision', () => {
  const id = newRequestId();
  expect(withSampling(id, true)[14]).toBe('9');
  expect(withSampling(withSampling(id, true), false)).toBe(id);
  expect(sampledByRequestId(withSampling(id, true))).toBe(true);
  expect(sampledByRequestId('mine')).toBeNull();
  expect(withSampling('mine', true)).toBe('mine');
  const forced = `${id.slice(0, 14)}a${id.slice(15)}`;
  expect(withSampling(forced, true)).toBe(forced);
});

test('[OB-10] traceparent is continued as a child span', () => {
  const { attempt, record } = traced([`traceparent: ${PARENT}`, 'tracestate: a=1']);
  const parent = attempt.header('traceparent') ?? '';
  expect(parent).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`));
  expect(parent).not.toContain(SPAN);
  expect(attempt.header('tracestate')).toBe('a=1');
  expect(record).toMatchObject({ traceId: TRACE, parentSpanId: SPAN, sampled: true });
});

test('[OB-10] a request without a context begins a trace, and is drawn for', () => {
  const sampled = traced([], 600_000);
  expect(sampled.attempt.header('traceparent')).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  expect(sampled.attempt.header('x-request-id')?.[14]).toBe('9');
  const not = traced([], 400_000);
  expect(not.attempt.header('traceparent')).toMatch(/-00$/);
  expect(not.attempt.header('x-request-id')?.[14]).toBe('4');
});

test("[OB-10] the caller's decision stands, in the trace fields or in the id", () => {
  const not = traced([`traceparent: 00-${TRACE}-${SPAN}-00`], 1_000_000);
  expect(not.record.sampled).toBe(false);
  const yes = traced([`x-request-id: ${withSampling(newRequestId(), true)}`], 0);
  expect(yes.record.sampled).toBe(true);
});

test('[OB-10] B3 multi is continued in B3 multi', () => {
  const { attempt, record } = traced([
    `x-b3-traceid: ${TRACE}`,
    `x-b3-spanid: ${SPAN}`,
    'x-b3-sampled: 1',
  ]);
  expect(attempt.header('x-b3-traceid')).toBe(TRACE);
  expect(attempt.header('x-b3-parentspanid')).toBe(SPAN);
  expect(attempt.header('x-b3-spanid')).toBe(record.spanId);
  expect(attempt.header('x-b3-sampled')).toBe('1');
});

test('[OB-10] B3 single is continued in B3 single, 64-bit ids are widened', () => {
  const { attempt, record } = traced([`b3: ${SPAN}-${SPAN}-1`]);
  expect(record.traceId).toBe(`0000000000000000${SPAN}`);
  expect(attempt.header('b3')).toBe(`${record.traceId}-${record.spanId}-1-${SPAN}`);
});

test('[OB-10] b3: 0 alone says not to sample', () => {
  expect(traced(['b3: 0'], 1_000_000).record.sampled).toBe(false);
});

const BAD: readonly [string, string[]][] = [
  ['zero trace id', [`traceparent: 00-${'0'.repeat(32)}-${SPAN}-01`]],
  ['zero span id', [`traceparent: 00-${TRACE}-${'0'.repeat(16)}-01`]],
  ['upper case', [`traceparent: ${PARENT.toUpperCase()}`]],
  ['version ff', [`traceparent: ff-${TRACE}-${SPAN}-01`]],
  ['version 00 with a tail', [`traceparent: ${PARENT}-x`]],
  ['twice', [`traceparent: ${PARENT}`, `traceparent: ${PARENT}`]],
  ['10 KB', [`traceparent: ${'a'.repeat(10_000)}`]],
  ['bad B3 single', ['b3: x-y-1']],
  ['bad B3 multi', ['x-b3-traceid: zz', `x-b3-spanid: ${SPAN}`]],
];
test.each(BAD)('[A7.5] a malformed context (%s) is dropped and made anew', (_name, headers) => {
  const { attempt, record } = traced([...headers, 'tracestate: a=1']);
  expect(attempt.header('traceparent')).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
  expect(attempt.header('tracestate')).toBeUndefined();
  expect(record.traceId).not.toBe(TRACE);
  expect(attempt.header('b3')).toBeUndefined();
  expect(attempt.header('x-b3-traceid')).toBeUndefined();
});

test('[A7.5] a later version is read as 00, long state and baggage are cut', () => {
  const state = Array.from({ length: 40 }, (_, n) => `k${n}=v`).join(',');
  const { attempt, record } = traced([
    `traceparent: 01-${TRACE}-${SPAN}-01-more`,
    `tracestate: ${state}`,
    `baggage: ${'b'.repeat(9_000)}`,
  ]);
  expect(record.traceId).toBe(TRACE);
  expect(attempt.header('tracestate')?.split(',').length).toBe(32);
  expect(attempt.header('baggage')).toBeUndefined();
});

test('where tracing is off a valid context passes untouched', () => {
  const { attempt, record } = traced([`traceparent: ${PARENT}`], -1);
  expect(attempt.header('traceparent')).toBe(PARENT);
  expect(record.traceId).toBe(TRACE);
  expect(traced([], -1).attempt.header('traceparent')).toBeUndefined();
});

test('[A7.5] fuzz: any field values are read without a throw and leave a usable context', () => {
  const name = fc.constantFrom('traceparent', 'tracestate', 'baggage', 'b3', 'x-b3-traceid');
  const value = fc.oneof(
    fc.string(),
    fc.stringMatching(/^[0-9a-f-]{0,70}$/),
    fc.constantFrom(PARENT, `${TRACE}-${SPAN}-1`, '0', 'd'),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 6 }), (fields) => {
      const context = newTraceContext();
      readTraceContext(fields.flat(), context);
      expect(context.traceId).toMatch(/^([0-9a-f]{32})?$/);
      expect(context.parentSpanId).toMatch(/^([0-9a-f]{16})?$/);
    }),
    { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 300) },
  );
});
