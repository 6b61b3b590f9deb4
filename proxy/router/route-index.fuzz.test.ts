import fc from 'fast-check';
import { expect, test } from 'vitest';
import { match, route } from '../../test/proxy-exchange.ts';
import { RequestHead } from '../http/message.ts';
import { compileRegex } from '../xds/compile/regex.ts';
import { pathWithoutQuery } from './path-match.ts';
import type { RouteMatchConfig } from './route-config.ts';
import { literalPrefix, RouteIndex } from './route-index.ts';
import { matchesRoute } from './route-match.ts';

const RUNS = Number(process.env['WEFT_FUZZ_RUNS'] ?? 300);

type PathMatch = RouteMatchConfig['path'];

/** Few letters, so that paths stand in one another; among them those whose lower case is longer, ASCII, or depends on the next. */
const text = fc
  .array(fc.constantFrom('/', 'a', 'a', 'A', 'b', 'k', '\u212A', '\u0130', '\u03A3'), {
    maxLength: 8,
  })
  .map((letters) => letters.join(''));
const nested = fc.nat(40).map((length) => `/${'a'.repeat(length)}`);
const path = fc.oneof(
  text.map((rest) => `/${rest}`),
  text,
  nested,
  fc.constantFrom('', '/', '/a', '/a/', '/A', '/a/b'),
);

const pathRule: fc.Arbitrary<PathMatch> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom('exact', 'prefix', 'pathSeparatedPrefix'),
      value: path,
      ignoreCase: fc.oneof(fc.constant(false), fc.boolean()),
    }),
  },
  fc
    .constantFrom('/a.*', '/a', '/ab?', '/a{2,}b*', '/(a|b)', '/a|/b', '(?i)/A.*', '.*a', '/aa+/?')
    .map((source) => ({ kind: 'regex' as const, regex: mustCompile(source) })),
  fc.constant({ kind: 'connect' as const }),
);

const headers = ['1', '2'].map((value) => ({
  name: 'x',
  value: { kind: 'exact', value, ignoreCase: false } as const,
  invert: false,
  missingAsEmpty: false,
}));
const queryParameters = [{ name: 'q', value: { kind: 'present' } as const }];
const often = <Value>(usual: Value, other: fc.Arbitrary<Value>) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(usual) }, other);

const rule: fc.Arbitrary<RouteMatchConfig> = fc
  .record({
    path: pathRule,
    headers: often([], fc.subarray(headers, { minLength: 1, maxLength: 1 })),
    queryParameters: often([], fc.constant(queryParameters)),
    grpc: often(false, fc.constant(true)),
    fractionPerMillion: often(1_000_000, fc.constantFrom(0, 500_000)),
  })
  .map(match);

const request = fc
  .record({
    path,
    query: fc.constantFrom('', '', '?q', '?q=/a', '#/a'),
    fields: fc.subarray(['1', '2']).map((values) => values.flatMap((value) => ['x', value])),
    grpc: fc.boolean(),
    connect: often(false, fc.constant(true)),
  })
  .map(({ path: plain, query, fields, grpc, connect }) => {
    const type = grpc ? ['content-type', 'application/grpc'] : [];
    const all = [...fields, ...type];
    const head = new RequestHead('GET', 'http', 'a', `${plain}${query}`, all, 'HTTP/1.1');
    if (connect) head.upgrade = 'connect';
    return head;
  });

function mustCompile(source: string) {
  const compiled = compileRegex(source);
  if ('problem' in compiled) throw new Error(compiled.problem);
  return compiled;
}

/** Deterministic, and it counts. */
function draws(numbers: readonly number[]) {
  const source = { drawn: 0, random: () => numbers[source.drawn++ % numbers.length]! };
  return source;
}

/** The requirement in other words: the first of all that matches. */
function firstOf(
  rules: readonly RouteMatchConfig[],
  head: RequestHead,
  random: () => number,
): number {
  return rules.findIndex((one) => matchesRoute(one, head, pathWithoutQuery(head.path), random));
}

test('[TM-01] fuzz: a lookup finds the route that trying all in turn finds, and draws as often', () => {
  let met = 0;
  let many = 0;
  fc.assert(
    fc.property(
      fc.array(rule, { minLength: 1, maxLength: 60, size: 'max' }),
      fc.array(request, { minLength: 1, maxLength: 10 }),
      fc.array(fc.constantFrom(0, 0.4, 0.6), { minLength: 1, maxLength: 5 }),
      (rules, heads, numbers) => {
        const index = new RouteIndex(rules.map((one) => route('/', 'a', {}, { match: one })));
        for (const head of heads) {
          const tried = draws(numbers);
          const expected = firstOf(rules, head, tried.random);
          const looked = draws(numbers);
          const found = index.find(head, pathWithoutQuery(head.path), looked.random);
          expect(found).toBe(expected);
          expect(looked.drawn).toBe(tried.drawn);
          if (expected >= 0) met++;
          if (expected > 8) many++;
        }
      },
    ),
    { numRuns: RUNS },
  );
  // Requests that meet nothing, or the first rule, would prove little.
  expect(met).toBeGreaterThan(RUNS);
  expect(many).toBeGreaterThan(RUNS / 3);
});

test('fuzz: what a regular expression matches begins with its literal prefix', () => {
  let met = 0;
  const pieces = 'a b / . * + ? | ( ) [ab] {2} {0,1} ^ $ \\. \\Qa \\E'.split(' ');
  const source = fc
    .array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 6 })
    .map((parts) => parts.join(''));
  const begun = fc.tuple(fc.constantFrom('', 'a', 'ab', '/a'), source).map((all) => all.join(''));
  const value = fc
    .array(fc.constantFrom('a', 'b', '/'), { maxLength: 4 })
    .map((all) => all.join(''));
  fc.assert(
    fc.property(begun, fc.array(value, { minLength: 20, maxLength: 20 }), (written, values) => {
      const compiled = compileRegex(written);
      if ('problem' in compiled) return;
      const literal = literalPrefix(written);
      for (const one of values) {
        if (!compiled.matches(one)) continue;
        if (literal !== '') met++;
        expect(one.startsWith(literal)).toBe(true);
      }
    }),
    { numRuns: RUNS },
  );
  expect(met).toBeGreaterThan(RUNS / 60);
});
