import fc from 'fast-check';
import { expect, test } from 'vitest';
import { match, route, routeConfig, virtualHost } from '../../test/proxy-exchange.ts';
import { RequestHead } from '../http/message.ts';
import { compileRegex } from '../xds/compile/regex.ts';
import type { HeaderMatcher, RouteMatchConfig, StringMatcher } from './route-config.ts';
import { RouteTable } from './route-table.ts';

const RUNS = Number(process.env['WEFT_FUZZ_RUNS'] ?? 300);

/** A rule in words of its own, so that what is expected does not come from the code under test. */
interface Rule {
  readonly config: RouteMatchConfig;
  holds(request: Request): boolean;
}

interface Request {
  readonly method: string;
  readonly path: string;
  readonly query: string | null;
  readonly fields: readonly (readonly [string, string])[];
}

type Part<Config> = {
  readonly config: Config;
  readonly holds: (request: Request) => boolean;
};

const path = fc.constantFrom('/', '/a', '/A', '/ab', '/a/', '/a/b', '/b');
const word = fc.constantFrom('', 'a', 'A', 'ab', 'b', '1', '12');
const fieldName = fc.constantFrom('x', 'y');

const request: fc.Arbitrary<Request> = fc.record({
  method: fc.constantFrom('GET', 'POST'),
  path,
  query: fc.option(
    fc
      .array(fc.tuple(fieldName, fc.option(word)), { maxLength: 3 })
      .map((pairs) =>
        pairs.map(([name, value]) => (value === null ? name : `${name}=${value}`)).join('&'),
      ),
  ),
  fields: fc.array(fc.tuple(fieldName, word), { maxLength: 3 }),
});

const fold = (text: string, ignoreCase: boolean) => (ignoreCase ? text.toLowerCase() : text);

const pathPart: fc.Arbitrary<Part<RouteMatchConfig['path']>> = fc.oneof(
  fc.tuple(path, fc.boolean()).map(([value, ignoreCase]) => ({
    config: { kind: 'exact' as const, value, ignoreCase },
    holds: (one: Request) => fold(one.path, ignoreCase) === fold(value, ignoreCase),
  })),
  fc.tuple(path, fc.boolean()).map(([value, ignoreCase]) => ({
    config: { kind: 'prefix' as const, value, ignoreCase },
    holds: (one: Request) => fold(one.path, ignoreCase).startsWith(fold(value, ignoreCase)),
  })),
  fc.constantFrom('/a', '/a/b', '/b').map((value) => ({
    config: { kind: 'pathSeparatedPrefix' as const, value, ignoreCase: false },
    holds: (one: Request) => `${one.path}/`.startsWith(`${value}/`),
  })),
  fc.constantFrom('/a+', '/[ab]/?', '/.*b', '/a|/b').map((source) => ({
    config: { kind: 'regex' as const, regex: mustCompile(source) },
    holds: (one: Request) => new RegExp(`^(?:${source})$`).test(one.path),
  })),
);

/** A text matcher, and whether a text (null where there is none) meets it. */
const textPart: fc.Arbitrary<{ config: StringMatcher; holds: (text: string) => boolean }> =
  fc.oneof(
    fc.constant({ config: { kind: 'present' as const }, holds: () => true }),
    fc
      .tuple(fc.constantFrom('exact', 'prefix', 'suffix', 'contains'), word, fc.boolean())
      .map(([kind, value, ignoreCase]) => ({
        config: { kind, value, ignoreCase } as StringMatcher,
        holds: (given: string) => {
          const [text, part] = [fold(given, ignoreCase), fold(value, ignoreCase)];
          if (kind === 'exact') return text === part;
          if (kind === 'prefix') return text.slice(0, part.length) === part;
          if (kind === 'suffix') return text.slice(text.length - part.length) === part;
          return text.split(part).length > 1 || part === '';
        },
      })),
    fc.tuple(fc.nat(3), fc.nat(20)).map(([start, size]) => ({
      config: { kind: 'range' as const, start, end: start + size },
      holds: (text: string) =>
        /^[0-9]+$/.test(text) && Number(text) >= start && Number(text) < start + size,
    })),
  );

const headerPart: fc.Arbitrary<Part<HeaderMatcher>> = fc
  .record({ name: fieldName, text: textPart, invert: fc.boolean(), missingAsEmpty: fc.boolean() })
  .map(({ name, text, invert, missingAsEmpty }) => ({
    config: { name, value: text.config, invert, missingAsEmpty },
    holds: ({ fields }: Request) => {
      const values = fields.filter(([field]) => field === name).map(([, value]) => value);
      const present = values.length > 0;
      if (text.config.kind === 'present') return (present || missingAsEmpty) !== invert;
      if (!present && !missingAsEmpty) return false;
      return text.holds(values.join(',')) !== invert;
    },
  }));

const queryPart = fc.record({ name: fieldName, text: textPart }).map(({ name, text }) => ({
  config: { name, value: text.config },
  holds: ({ query }: Request) => {
    const pairs = (query ?? '').split('&').map((pair) => pair.split('='));
    const found = query === null ? undefined : pairs.find(([key]) => key === name);
    return found !== undefined && text.holds(found[1] ?? '');
  },
}));

/** Mostly none, so that rules are met often enough. */
const few = <Value>(part: fc.Arbitrary<Value>) =>
  fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.array(part, { maxLength: 2 }));

const rule: fc.Arbitrary<Rule> = fc
  .tuple(
    pathPart,
    few(headerPart),
    few(queryPart),
    fc.option(fc.constantFrom('GET', 'POST'), { freq: 1 }),
  )
  .map(([byPath, headers, queries, method]) => ({
    config: match({
      path: byPath.config,
      headers: [
        ...headers.map(({ config }) => config),
        ...(method === null ? [] : [methodIs(method)]),
      ],
      queryParameters: queries.map(({ config }) => config),
    }),
    holds: (one: Request) =>
      byPath.holds(one) &&
      [...headers, ...queries].every((part) => part.holds(one)) &&
      (method === null || method === one.method),
  }));

function methodIs(method: string): HeaderMatcher {
  const value = { kind: 'exact', value: method, ignoreCase: false } as const;
  return { name: ':method', value, invert: false, missingAsEmpty: false };
}

function mustCompile(source: string) {
  const compiled = compileRegex(source);
  if ('problem' in compiled) throw new Error(compiled.problem);
  return compiled;
}

test('[TM-01] [TM-03] [TM-04] fuzz: the route met is the first of which every part holds', () => {
  let met = 0;
  fc.assert(
    fc.property(fc.array(rule, { minLength: 1, maxLength: 24 }), request, (rules, one) => {
      const routes = rules.map(({ config }, at) =>
        route('/', 'a', {}, { name: String(at), match: config }),
      );
      const table = new RouteTable(routeConfig([virtualHost(routes)]));
      const target = one.query === null ? one.path : `${one.path}?${one.query}`;
      const head = new RequestHead(one.method, 'http', 'a', target, one.fields.flat(), 'HTTP/1.1');
      const expected = rules.findIndex((candidate) => candidate.holds(one));
      const found = table.findRoute(head, () => 0);
      expect(found === null ? -1 : Number(found.entry.name)).toBe(expected);
      if (expected >= 0) met++;
    }),
    { numRuns: RUNS },
  );
  // Requests that meet nothing would prove little.
  expect(met).toBeGreaterThan(RUNS / 20);
});
