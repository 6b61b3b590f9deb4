import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Route } from '../../proto/gen/envoy/config/route/v3/route_components.ts';
import { HTTPFault } from '../../proto/gen/envoy/extensions/filters/http/fault/v3/fault.ts';
import { readDocuments } from '../kinds/documents.ts';
import { BOOKINFO, testMesh } from '../mesh/mesh.testing.ts';
import { testProxy, translated, virtualHost } from './proxy.testing.ts';

/** A mesh is read and translated for each: slow, so bounded. */
const FUZZ_RUNS = Math.min(Number(process.env['WEFT_FUZZ_RUNS'] ?? 50), 1000);

const HOST = 'reviews.default.svc.cluster.local';

/** A VirtualService for reviews with these `http` rules. */
function reviews(http: string, more = ''): string {
  return `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  ${more}
  http:${http}
`;
}

const SUBSETS = `---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
  - {name: v3, labels: {version: v3}}
`;

function routesOf(yaml: string, proxy = testProxy()): Route[] {
  const routes = translated(testMesh(yaml), proxy).routes('http_proxy');
  return virtualHost(routes, `${HOST}:9080`).routes;
}

function clusterOf({ action }: Route): string {
  if (action?.$case !== 'route') return action?.$case ?? 'none';
  const specifier = action.value.clusterSpecifier;
  if (specifier?.$case === 'cluster') return specifier.value;
  if (specifier?.$case !== 'weightedClusters') return 'other';
  return specifier.value.clusters.map(({ name, weight }) => `${name}=${weight}`).join(' ');
}

function actionOf(route: Route | undefined) {
  if (route?.action?.$case !== 'route') throw new Error('no route action');
  return route.action.value;
}

test('[TM-07] a host answers to every name that its caller may use, with and without port', () => {
  const routes = translated(testMesh()).routes('http_proxy');
  expect(virtualHost(routes, 'reviews').domains).toEqual([
    HOST,
    `${HOST}:9080`,
    'reviews.default.svc',
    'reviews.default.svc:9080',
    'reviews.default',
    'reviews.default:9080',
    'reviews',
    'reviews:9080',
  ]);
  const elsewhere = translated(testMesh(), testProxy({ namespace: 'shop' })).routes('http_proxy');
  expect(virtualHost(elsewhere, 'reviews.default:9080').domains).not.toContain('reviews');
});

test('[TM-07] a host that is said outright beats the alias of another', () => {
  const snapshot = testMesh(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: short}
spec:
  hosts: [reviews.default]
  resolution: STATIC
  ports: [{number: 9080, name: http, protocol: HTTP}]
  endpoints: [{address: 10.0.0.1}]
`);
  const routes = translated(snapshot).routes('http_proxy');
  expect(virtualHost(routes, 'reviews.default:9080').name).toBe('reviews.default:9080');
  const domains = routes!.virtualHosts.flatMap((host) => host.domains);
  expect(new Set(domains).size).toBe(domains.length);
});

test('[RS-01][TM-17] without rules: two retries, other hosts first, no timeout', () => {
  const [route, ...others] = routesOf('');
  expect(others).toEqual([]);
  expect(clusterOf(route!)).toBe(`outbound|9080||${HOST}`);
  const action = actionOf(route);
  expect(action.timeout).toEqual({ seconds: 0, nanos: 0 });
  // PR-07: the deadline of a gRPC client, whatever it is.
  expect(action.maxStreamDuration).toMatchObject({
    maxStreamDuration: { seconds: 0, nanos: 0 },
    grpcTimeoutHeaderMax: { seconds: 0, nanos: 0 },
  });
  expect(action.retryPolicy).toMatchObject({
    retryOn: 'connect-failure,refused-stream,unavailable,cancelled',
    numRetries: 2,
    hostSelectionRetryMaxAttempts: 5,
    retryHostPredicate: [{ name: 'envoy.retry_host_predicates.previous_hosts' }],
  });
  expect(route?.decorator?.operation).toBe(`${HOST}:9080/*`);
});

test('[TM-01] rules keep their order, matches of a rule become routes, and nothing follows a catch-all', () => {
  const routes = routesOf(
    reviews(`
  - name: first
    match:
    - {name: a, uri: {exact: /a}}
    - {uri: {prefix: /b}}
    route: [{destination: {host: reviews, subset: v1}}]
  - match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - route: [{destination: {host: reviews, subset: v3}}]
  - match: [{uri: {exact: /never}}]
    route: [{destination: {host: reviews}}]
`) + SUBSETS,
  );
  expect(routes.map((route) => [route.name, clusterOf(route)])).toEqual([
    ['first.a', `outbound|9080|v1|${HOST}`],
    ['first', `outbound|9080|v1|${HOST}`],
    ['', `outbound|9080|v2|${HOST}`],
    ['', `outbound|9080|v3|${HOST}`],
  ]);
});

test('[TM-01] a host of which no rule holds for the caller has no route at all: 404', () => {
  const routes = routesOf(
    reviews(`
  - match: [{sourceLabels: {app: nobody}}]
    route: [{destination: {host: reviews}}]
`),
  );
  expect(routes).toEqual([]);
});

describe('[TM-03][TM-04] matches', () => {
  const matchOf = (match: string) => {
    const http = `\n  - match: [${match}]\n    route: [{destination: {host: reviews}}]\n`;
    return routesOf(reviews(http))[0]?.match;
  };

  test.each([
    ['exact', '{uri: {exact: /a}}', { $case: 'path', value: '/a' }],
    ['prefix', '{uri: {prefix: /a}}', { $case: 'prefix', value: '/a' }],
    ['regex', '{uri: {regex: "/a.*"}}', { $case: 'safeRegex', value: { regex: '/a.*' } }],
    ['no uri', '{headers: {a: {exact: b}}}', { $case: 'prefix', value: '/' }],
  ])('path: %s', (_name, match, expected) => {
    expect(matchOf(match)?.pathSpecifier).toMatchObject(expected);
  });

  test('ignoreUriCase', () => {
    expect(matchOf('{uri: {prefix: /a}, ignoreUriCase: true}')?.caseSensitive).toBe(false);
    expect(matchOf('{uri: {prefix: /a}}')?.caseSensitive).toBeUndefined();
  });

  test('headers, withoutHeaders, method, authority, scheme', () => {
    const match = matchOf(
      '{headers: {X-A: {exact: "1"}, b: {}}, withoutHeaders: {c: {prefix: x}, d: {}}, method: {exact: GET}, authority: {regex: "a.*"}, scheme: {exact: https}}',
    );
    const value = (kind: string, text: unknown) => ({
      $case: 'stringMatch',
      value: { matchPattern: { $case: kind, value: text } },
    });
    const present = { $case: 'presentMatch', value: true };
    expect(match?.headers).toMatchObject([
      { name: 'x-a', headerMatchSpecifier: value('exact', '1'), invertMatch: false },
      { name: 'b', headerMatchSpecifier: present },
      {
        name: 'c',
        headerMatchSpecifier: value('prefix', 'x'),
        invertMatch: true,
        treatMissingHeaderAsEmpty: true,
      },
      {
        name: 'd',
        headerMatchSpecifier: present,
        invertMatch: true,
        treatMissingHeaderAsEmpty: false,
      },
      { name: ':method', headerMatchSpecifier: value('exact', 'GET') },
      { name: ':authority', headerMatchSpecifier: value('safeRegex', { regex: 'a.*' }) },
      { name: ':scheme', headerMatchSpecifier: value('exact', 'https') },
    ]);
  });

  test('query parameters', () => {
    expect(matchOf('{queryParams: {a: {exact: b}, c: {}}}')?.queryParameters).toMatchObject([
      { name: 'a', queryParameterMatchSpecifier: { $case: 'stringMatch' } },
      { name: 'c', queryParameterMatchSpecifier: { $case: 'presentMatch', value: true } },
    ]);
  });
});

test('[TM-05] labels, namespace, port and gateway of the caller are decided when its routes are made', () => {
  const yaml = reviews(`
  - match: [{sourceLabels: {version: v1}}]
    route: [{destination: {host: reviews, subset: v1}}]
  - match: [{sourceNamespace: shop}]
    route: [{destination: {host: reviews, subset: v2}}]
  - match: [{port: 80}]
    route: [{destination: {host: reviews, subset: v3}}]
  - route: [{destination: {host: reviews}}]
`);
  const names = (proxy: ReturnType<typeof testProxy>) =>
    routesOf(yaml, proxy).map((route) => clusterOf(route).split('|')[2]);
  expect(names(testProxy())).toEqual(['v1']);
  expect(names(testProxy({ labels: {} }))).toEqual(['']);
  expect(names(testProxy({ labels: {}, namespace: 'shop' }))).toEqual(['v2']);
});

test('[TM-08] weights are relative and kept; weight 0 gets nothing', () => {
  const routes = routesOf(
    reviews(`
  - route:
    - {destination: {host: reviews, subset: v1}, weight: 9}
    - {destination: {host: reviews, subset: v2}, weight: 1}
    - {destination: {host: reviews, subset: v3}, weight: 0}
`) + SUBSETS,
  );
  expect(routes.map(clusterOf)).toEqual([`outbound|9080|v1|${HOST}=9 outbound|9080|v2|${HOST}=1`]);
});

test('[TM-08] fuzz: every weight arrives as it was written', () => {
  const weights = fc
    .array(fc.integer({ min: 0, max: 1_000_000 }), { minLength: 2, maxLength: 5 })
    .filter((list) => list.filter((weight) => weight > 0).length > 1);
  fc.assert(
    fc.property(weights, (list) => {
      const http = `\n  - route:${list
        .map(
          (weight, at) =>
            `\n    - {destination: {host: reviews, subset: s${at}}, weight: ${weight}}`,
        )
        .join('')}\n`;
      const expected = list
        .map((weight, at) => `outbound|9080|s${at}|${HOST}=${weight}`)
        .filter((_, at) => list[at]! > 0);
      expect(routesOf(reviews(http)).map(clusterOf)).toEqual([expected.join(' ')]);
    }),
    { numRuns: FUZZ_RUNS },
  );
});

test('[TM-10] redirect', () => {
  const [route] = routesOf(
    reviews(`
  - redirect: {uri: /new, authority: example.com, scheme: https, redirectCode: 308, derivePort: FROM_REQUEST_PORT}
`),
  );
  expect(route?.action).toMatchObject({
    $case: 'redirect',
    value: {
      hostRedirect: 'example.com',
      portRedirect: 9080,
      schemeRewriteSpecifier: { $case: 'schemeRedirect', value: 'https' },
      pathRewriteSpecifier: { $case: 'pathRedirect', value: '/new' },
      responseCode: 4,
    },
  });
});

test('[TM-11] direct response, with a body beyond what Envoy takes by itself', () => {
  const snapshot = testMesh(
    reviews(`
  - directResponse: {status: 418, body: {string: "short and stout"}}
`),
  );
  const routes = translated(snapshot).routes('http_proxy')!;
  expect(routes.maxDirectResponseBodySizeBytes).toBe(1_048_576);
  expect(virtualHost(routes, 'reviews').routes[0]?.action).toMatchObject({
    $case: 'directResponse',
    value: {
      status: 418,
      body: { specifier: { $case: 'inlineString', value: 'short and stout' } },
    },
  });
});

test('[TM-12] rewrite of path and authority', () => {
  const [prefix, regex] = routesOf(
    reviews(`
  - match: [{uri: {prefix: /a}}]
    rewrite: {uri: /b, authority: other}
    route: [{destination: {host: reviews}}]
  - rewrite: {uriRegexRewrite: {match: "/x/(.*)", rewrite: "/y/\\\\1"}}
    route: [{destination: {host: reviews}}]
`),
  ).map(actionOf);
  expect(prefix).toMatchObject({
    prefixRewrite: '/b',
    hostRewriteSpecifier: { $case: 'hostRewriteLiteral', value: 'other' },
  });
  expect(regex?.regexRewrite).toMatchObject({
    pattern: { regex: '/x/(.*)' },
    substitution: '/y/\\1',
  });
});

test('[TM-13] headers of a rule and of a destination; host is a rewrite of the authority', () => {
  const [route] = routesOf(
    reviews(`
  - headers:
      request: {set: {host: other, a: "1"}, add: {b: "2"}, remove: [c]}
      response: {add: {d: "3"}, remove: [e]}
    route:
    - destination: {host: reviews}
      headers: {response: {set: {f: "4"}}}
`),
  );
  expect(route).toMatchObject({
    requestHeadersToAdd: [
      { header: { key: 'a', value: '1' }, appendAction: 2 },
      { header: { key: 'b', value: '2' }, appendAction: 0 },
    ],
    requestHeadersToRemove: ['c'],
    responseHeadersToAdd: [{ header: { key: 'd', value: '3' }, appendAction: 0 }],
    responseHeadersToRemove: ['e'],
  });
  expect(actionOf(route)).toMatchObject({
    hostRewriteSpecifier: { $case: 'hostRewriteLiteral', value: 'other' },
    clusterSpecifier: {
      value: {
        clusters: [{ responseHeadersToAdd: [{ header: { key: 'f' }, appendAction: 2 }] }],
      },
    },
  });
});

test('[TM-13] a host that is added is a rewrite too: there is only one', () => {
  const [route] = routesOf(
    reviews(`
  - headers: {request: {add: {Host: other}}}
    route: [{destination: {host: reviews}}]
`),
  );
  expect(route?.requestHeadersToAdd).toEqual([]);
  expect(actionOf(route)).toMatchObject({
    hostRewriteSpecifier: { $case: 'hostRewriteLiteral', value: 'other' },
  });
});

test('[TM-17] [PR-07] a timeout is sent in whole, and caps the deadline of a gRPC call', () => {
  const [route] = routesOf(
    reviews(`
  - timeout: 1m30.5s
    route: [{destination: {host: reviews}}]
`),
  );
  expect(actionOf(route).timeout).toEqual({ seconds: 90, nanos: 500_000_000 });
  expect(actionOf(route).maxGrpcTimeout).toEqual({ seconds: 90, nanos: 500_000_000 });
  expect(actionOf(route).maxStreamDuration).toBeUndefined();
});

test('[RS-02][RS-03] retries: attempts, per-try timeout, back-off, status codes; attempts 0 turns them off', () => {
  const [some, none] = routesOf(
    reviews(`
  - match: [{uri: {exact: /a}}]
    retries: {attempts: 4, perTryTimeout: 250ms, backoff: 40ms, retryOn: "reset, 503,gateway-error"}
    route: [{destination: {host: reviews}}]
  - retries: {attempts: 0}
    route: [{destination: {host: reviews}}]
`),
  ).map(actionOf);
  expect(some?.retryPolicy).toMatchObject({
    retryOn: 'reset,retriable-status-codes,gateway-error',
    retriableStatusCodes: [503],
    numRetries: 4,
    perTryTimeout: { seconds: 0, nanos: 250_000_000 },
    retryBackOff: { baseInterval: { seconds: 0, nanos: 40_000_000 } },
  });
  expect(none?.retryPolicy).toBeUndefined();
});

test('[TM-18] a fault rides on its route, which loses timeout and retries', () => {
  const [route] = routesOf(
    reviews(`
  - timeout: 2s
    retries: {attempts: 3}
    fault:
      delay: {fixedDelay: 7s, percentage: {value: 0.1}}
      abort: {httpStatus: 555, percentage: {value: 100}}
    route: [{destination: {host: reviews}}]
`),
  );
  const fault = HTTPFault.decode(
    route!.typedPerFilterConfig.get('envoy.filters.http.fault')!.value,
  );
  expect(fault).toMatchObject({
    delay: {
      faultDelaySecifier: { $case: 'fixedDelay', value: { seconds: 7, nanos: 0 } },
      percentage: { numerator: 1000, denominator: 2 },
    },
    abort: {
      errorType: { $case: 'httpStatus', value: 555 },
      percentage: { numerator: 1_000_000, denominator: 2 },
    },
  });
  expect(actionOf(route).timeout).toEqual({ seconds: 0, nanos: 0 });
  expect(actionOf(route).retryPolicy).toBeUndefined();
});

test('[TM-18] gRPC abort by the name of its status', () => {
  const [route] = routesOf(
    reviews(`
  - fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 1}}}
    route: [{destination: {host: reviews}}]
`),
  );
  const any = route!.typedPerFilterConfig.get('envoy.filters.http.fault')!;
  expect(HTTPFault.decode(any.value).abort?.errorType).toEqual({ $case: 'grpcStatus', value: 14 });
});

test('[TM-19] unknown hosts go where they wanted, tunnels too, or are refused with 502', () => {
  const allowed = virtualHost(translated(testMesh()).routes('http_proxy'), '*');
  expect(
    allowed.routes.map((route) => [route.match?.pathSpecifier?.$case, clusterOf(route)]),
  ).toEqual([
    ['connectMatcher', 'PassthroughCluster'],
    ['prefix', 'PassthroughCluster'],
  ]);
  const closed = testMesh('', BOOKINFO, { outboundTrafficPolicy: 'REGISTRY_ONLY' });
  const refused = virtualHost(translated(closed).routes('http_proxy'), '*');
  expect(refused.name).toBe('block_all');
  expect(refused.routes.map(({ action }) => action)).toMatchObject([
    { $case: 'directResponse', value: { status: 502 } },
    { $case: 'directResponse', value: { status: 502 } },
  ]);
});

test('a TCP port is a tunnel, an HTTP port is none', () => {
  const snapshot = testMesh('', [{ service: 'db', port: 5432, protocol: 'tcp' }]);
  const tunnel = virtualHost(translated(snapshot).routes('http_proxy'), 'db:5432');
  expect(tunnel.domains).not.toContain('db');
  expect(tunnel.routes).toMatchObject([
    {
      match: { pathSpecifier: { $case: 'connectMatcher' } },
      action: { value: { upgradeConfigs: [{ upgradeType: 'CONNECT' }] } },
    },
  ]);
});

test('[TM-22] what is not exported is not there', () => {
  const yaml = reviews(
    `\n  - route: [{destination: {host: reviews, subset: v1}}]\n`,
    'exportTo: [.]',
  );
  expect(clusterOf(routesOf(yaml)[0]!)).toContain('|v1|');
  expect(clusterOf(routesOf(yaml, testProxy({ namespace: 'shop' }))[0]!)).toContain('||');
});

test('[TM-25] of two VirtualServices for one host the older is used and the younger is reported', () => {
  const younger = reviews(`\n  - route: [{destination: {host: reviews, subset: v2}}]\n`).replace(
    'name: reviews',
    'name: younger',
  );
  const yaml = `${reviews(`\n  - route: [{destination: {host: reviews, subset: v1}}]\n`)}---${younger}${SUBSETS}`;
  expect(routesOf(yaml).map(clusterOf)).toEqual([`outbound|9080|v1|${HOST}`]);
  expect(testMesh(yaml).warnings).toMatchObject([{ code: 'IST0109', name: 'younger' }]);
});

test('a VirtualService may route a host that no service has', () => {
  const yaml = reviews(
    `\n  - route: [{destination: {host: reviews, port: {number: 9080}}}]\n`,
  ).replace('hosts: [reviews]', 'hosts: [shop.example.com]');
  const routes = translated(testMesh(yaml)).routes('http_proxy');
  expect(virtualHost(routes, 'shop.example.com').domains).toContain('shop.example.com:*');
  expect(clusterOf(virtualHost(routes, 'shop.example.com').routes[0]!)).toBe(
    `outbound|9080||${HOST}`,
  );
});

test('[TM-09] a route to a subset that nobody defines names a cluster that is not there, and is reported', () => {
  const yaml = reviews(`\n  - route: [{destination: {host: reviews, subset: v9}}]\n`);
  const snapshot = testMesh(yaml);
  const { clusters } = translated(snapshot);
  const [route] = routesOf(yaml);
  expect(clusters).not.toContain(clusterOf(route!));
  expect(snapshot.warnings).toMatchObject([{ code: 'IST0101', kind: 'VirtualService' }]);
});

test('fuzz: every cluster that a route names exists, or is reported', () => {
  const destination = fc.record({
    host: fc.constantFrom('reviews', 'ratings', 'nobody', 'reviews.default.svc.cluster.local'),
    subset: fc.constantFrom('', 'v1', 'v2', 'v9'),
    port: fc.constantFrom(0, 9080, 1234),
  });
  fc.assert(
    fc.property(fc.array(destination, { minLength: 1, maxLength: 4 }), (destinations) => {
      const http = `\n  - route:${destinations
        .map(({ host, subset, port }) => {
          const fields = [`host: ${host}`];
          if (subset !== '') fields.push(`subset: ${subset}`);
          if (port !== 0) fields.push(`port: {number: ${port}}`);
          return `\n    - {destination: {${fields.join(', ')}}, weight: 1}`;
        })
        .join('')}\n`;
      const snapshot = testMesh(reviews(http) + SUBSETS);
      const { clusters, routes } = translated(snapshot);
      const named = virtualHost(routes('http_proxy'), 'reviews')
        .routes.flatMap((route) => clusterOf(route).split(' '))
        .map((cluster) => cluster.replace(/=\d+$/, ''));
      const missing = named.filter((cluster) => !clusters.includes(cluster));
      const reported = snapshot.warnings.filter(({ code }) => code === 'IST0101');
      expect(reported.length).toBe(missing.length);
    }),
    { numRuns: FUZZ_RUNS },
  );
});

const SAMPLES = join(
  process.env['WEFT_SAMPLES'] ?? join(import.meta.dirname, '../../../shared/data/istio-samples'),
  'bookinfo/networking',
);

describe.skipIf(!existsSync(SAMPLES))(
  'Bookinfo policies (skipped without the istio-samples folder)',
  () => {
    const summary = (files: readonly string[]) => {
      const yaml = files.map((file) => readFileSync(join(SAMPLES, file), 'utf8')).join('\n---\n');
      const { routes } = translated(testMesh(yaml));
      return Object.fromEntries(
        ['productpage', 'details', 'ratings', 'reviews'].map((service) => [
          service,
          virtualHost(routes('http_proxy'), service).routes.map((route) => {
            const when = route.match?.headers.map(({ name }) => name).join();
            const fault = route.typedPerFilterConfig.size > 0 ? ' fault' : '';
            const to = clusterOf(route).replaceAll('.default.svc.cluster.local', '');
            return `${when === '' ? '' : `${when}: `}${to}${fault}`;
          }),
        ]),
      );
    };
    const policies = existsSync(SAMPLES)
      ? readdirSync(SAMPLES).filter((file) => {
          const text = readFileSync(join(SAMPLES, file), 'utf8');
          return (
            file.startsWith('virtual-service') && readDocuments(text, file).problems.length === 0
          );
        })
      : [];

    test.each(policies)('%s', (file) => {
      expect(summary(['destination-rule-all.yaml', file])).toMatchSnapshot();
    });
  },
);
