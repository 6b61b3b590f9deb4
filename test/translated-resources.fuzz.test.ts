import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readDocuments } from '../control-plane/kinds/documents.ts';
import { testMesh } from '../control-plane/mesh/mesh.testing.ts';
import { testProxy } from '../control-plane/translate/proxy.testing.ts';
import { translate } from '../control-plane/translate/resource-set.ts';
import { RouteConfiguration } from '../proto/gen/envoy/config/route/v3/route.ts';
import { TYPE_ROUTE } from '../proto/type-urls.ts';
import type { CompileContext } from '../proxy/xds/compile/compile-context.ts';
import { formatProblems } from '../proxy/xds/compile/problems.ts';
import { compileRouteConfiguration } from '../proxy/xds/compile/route-configuration.ts';

/**
 * One rule that `apply` takes and sidecars refuse stops all routes of the mesh where they are. Rules are drawn with
 * values on and beyond every bound; what the control plane refuses itself is no matter.
 */

const RUNS = Math.ceil(Number(process.env['WEFT_FUZZ_RUNS'] ?? 300) / 2);

const context: CompileContext = {
  root: [],
  readFile: () => Buffer.alloc(0),
  environment: () => undefined,
  accessLog: () => ({ log: () => {} }),
  inlineSecret: () => 'inline',
};

/** One or two of the fields, so that one that is refused does not spoil most objects. */
function some<T extends Record<string, fc.Arbitrary<unknown>>>(fields: T) {
  return fc
    .subarray(Object.keys(fields), { minLength: 1, maxLength: 2 })
    .chain((keys) => fc.record(Object.fromEntries(keys.map((key) => [key, fields[key]!]))));
}

const name = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('x-a', 'X-B', 'cookie', 'user-agent', 'a.b') },
  fc.constantFrom('constructor', 'te', 'x_y', 'a!b', ':path', 'host', 'via', 'date'),
  fc.string({ minLength: 1, maxLength: 4 }),
);
// A format is told apart by the sidecar alone: `%` stays out.
const value = fc
  .oneof(
    fc.constantFrom('', 'a', 'a b', 'é', '\u00ff', '"', '\\', '*', ','),
    fc.string({ maxLength: 6 }),
  )
  .map((text) => text.replaceAll('%', ''));
const path = fc.oneof(
  fc.constantFrom('/', '/a', '/a/', '/a?b=c', '/%41', '/a//b', '/a#b', '//', '/*'),
  fc.string({ maxLength: 4 }).map((text) => `/${text}`),
);
const regex = fc.oneof(
  fc.constantFrom(
    '/a',
    '.*',
    '(a)(b)',
    '(?i)x',
    '[[:alpha:]]+',
    '\\pL',
    'a{1000}',
    '(?:x{30}){30}',
  ),
  fc.constantFrom('^$', '\\C', '(?P<n>a)', '\\Qa.b\\E', 'a|', '()', '(?s:.)', '\\z'),
);
const duration = fc.constantFrom('1ms', '0.5s', '8760h', '10ms', '1h1m');
const text = fc.oneof(
  value.map((exact) => ({ exact })),
  value.map((prefix) => ({ prefix })),
  regex.map((written) => ({ regex: written })),
  fc.constant({}),
);
const fewOf = <K, V>(key: fc.Arbitrary<K>, of: fc.Arbitrary<V>) =>
  fc.array(fc.tuple(key, of), { maxLength: 2 }).map((pairs) => Object.fromEntries(pairs));
const operations = some({
  set: fewOf(name, value),
  add: fewOf(name, value),
  remove: fc.array(name, { maxLength: 2 }),
});
const headers = some({ request: operations, response: operations });
const authority = fc.constantFrom('other', 'other:81', '10.0.0.1', '[::1]:80', 'a_b');

const match = some({
  name: value,
  uri: fc.oneof(
    path.map((exact) => ({ exact })),
    path.map((prefix) => ({ prefix })),
    regex.map((written) => ({ regex: written })),
  ),
  ignoreUriCase: fc.boolean(),
  method: text,
  scheme: text,
  authority: text,
  headers: fewOf(name, text),
  withoutHeaders: fewOf(name, text),
  queryParams: fewOf(fc.oneof(name, fc.constantFrom('a', '%20', 'é')), text),
});

const destination = fc.record(
  {
    destination: fc.constantFrom(
      { host: 'reviews' },
      { host: 'reviews', subset: 'v1' },
      { host: 'gone', subset: 'x' },
      { host: 'reviews', port: { number: 9080 } },
    ),
    weight: fc.constantFrom(0, 1, 50, 2 ** 31 - 1),
    headers,
  },
  { requiredKeys: ['destination'] },
);

const action = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ route: fc.array(destination, { minLength: 1, maxLength: 3 }) }),
  },
  fc.record({
    redirect: some({
      uri: path,
      authority,
      port: fc.constantFrom(1, 65_535),
      derivePort: fc.constantFrom('FROM_PROTOCOL_DEFAULT', 'FROM_REQUEST_PORT'),
      scheme: fc.constantFrom('http', 'https'),
      redirectCode: fc.constantFrom(301, 302, 303, 307, 308),
    }),
  }),
  fc.record({
    directResponse: fc.record(
      {
        status: fc.constantFrom(200, 204, 304, 418, 599),
        body: fc.oneof(
          value.map((string) => ({ string })),
          fc.constantFrom({ bytes: 'AAEC' }, { string: 'é'.repeat(600_000) }, { bytes: '' }),
        ),
      },
      { requiredKeys: ['status'] },
    ),
  }),
);

const percentage = fc.constantFrom(
  { value: 0 },
  { value: 0.0001 },
  { value: 100 },
  { value: 33.3333 },
);
const settings = some({
  name: value,
  timeout: duration,
  retries: some({
    attempts: fc.constantFrom(0, 1, 100, 101, 2 ** 31 - 1),
    perTryTimeout: duration,
    backoff: duration,
    retryOn: fc.constantFrom('5xx', '503,retriable-headers', 'connect-failure, reset', '504, 429'),
  }),
  rewrite: some({
    uri: path,
    authority,
    uriRegexRewrite: fc.record({
      match: regex,
      rewrite: fc.constantFrom('/', '\\0', '\\1', '\\9', '\\\\', '$1', 'a b', '\u0000'),
    }),
  }),
  fault: some({
    delay: fc.record({ fixedDelay: duration, percentage }),
    abort: fc.oneof(
      fc.record({ httpStatus: fc.constantFrom(200, 555, 599), percentage }),
      fc.record({ grpcStatus: fc.constantFrom('UNAVAILABLE', 'CANCELLED'), percentage }),
    ),
  }),
  headers,
});

const rule = fc
  .tuple(fc.array(match, { maxLength: 2 }), action, settings)
  .map(([matches, what, how]) => ({ ...how, ...what, match: matches }));

test('fuzz: what apply takes is taken by every sidecar', () => {
  let taken = 0;
  fc.assert(
    fc.property(fc.array(rule, { minLength: 1, maxLength: 2 }), (http) => {
      const policy = JSON.stringify({
        apiVersion: 'networking.istio.io/v1',
        kind: 'VirtualService',
        metadata: { name: 'reviews' },
        spec: { hosts: ['reviews'], http },
      });
      if (readDocuments(policy, 'drawn.json').problems.length > 0) return;
      taken++;
      const set = translate(testMesh(policy), testProxy({ mode: 'explicit' }));
      for (const { any } of set.resources(TYPE_ROUTE).values()) {
        const message = RouteConfiguration.decode(any.value);
        const compiled = compileRouteConfiguration(message, '', context);
        expect(compiled.ok ? '' : formatProblems(compiled.problems)).toBe('');
      }
    }),
    { numRuns: RUNS },
  );
  expect(taken).toBeGreaterThan(RUNS / 40);
});
