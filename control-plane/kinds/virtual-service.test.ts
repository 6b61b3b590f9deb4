import { describe, expect, test } from 'vitest';
import { withDefaults } from './kind.ts';
import { formatPath } from './problem.ts';
import { Findings, validate } from './validate.ts';
import { virtualService } from './virtual-service.ts';

/** Problems of a spec; `route` and `match` go into its first http entry. */
function problems(spec: object): string[] {
  const findings = new Findings();
  validate(virtualService.spec, spec, [], findings);
  return findings.list.map(({ path, message, suggestion }) => {
    const hint = suggestion === undefined ? '' : ` (did you mean ${suggestion}?)`;
    return `${formatPath(path)}: ${message}${hint}`;
  });
}

const ROUTE = { route: [{ destination: { host: 'reviews' } }] };
const withRoute = (entry: object) =>
  problems({ hosts: ['reviews'], http: [{ ...ROUTE, ...entry }] });
const withMatch = (match: object) => withRoute({ match: [match] });

describe('defaults', () => {
  test('[TM-01] what was not written is filled in, and the whole is frozen', () => {
    const spec = withDefaults(virtualService, {
      hosts: ['reviews'],
      http: [{ ...ROUTE, match: [{}] }],
    });
    expect(spec).toEqual({
      hosts: ['reviews'],
      gateways: ['mesh'],
      exportTo: ['*'],
      http: [
        {
          match: [
            {
              headers: {},
              withoutHeaders: {},
              queryParams: {},
              ignoreUriCase: false,
              sourceLabels: {},
              gateways: [],
            },
          ],
          route: [{ destination: { host: 'reviews' }, weight: 100 }],
        },
      ],
    });
    expect(Object.isFrozen(spec.http[0]!.route[0]!.destination)).toBe(true);
  });

  test('[TM-08] a single destination has all of the weight, of several an unwritten weight is 0', () => {
    const weights = (route: object[]) =>
      withDefaults(virtualService, { hosts: ['a'], http: [{ route }] }).http[0]!.route.map(
        ({ weight }) => weight,
      );
    const destination = { host: 'a' };
    expect(weights([{ destination, weight: 0 }])).toEqual([100]);
    expect(weights([{ destination, weight: 7 }, { destination }])).toEqual([7, 0]);
  });

  test('[TM-04] header names to match are lower-cased', () => {
    const http = [{ ...ROUTE, match: [{ headers: { 'End-User': { exact: 'Jason' } } }] }];
    const spec = withDefaults(virtualService, { hosts: ['a'], http });
    expect(spec.http[0]!.match[0]!.headers).toEqual({ 'end-user': { exact: 'Jason' } });
  });

  test('[TM-18] the share of a fault is 0 where it is not written; percent is its old spelling', () => {
    const fault = (value: object) =>
      withDefaults(virtualService, { hosts: ['a'], http: [{ ...ROUTE, fault: value }] }).http[0]!
        .fault;
    expect(fault({ abort: { httpStatus: 500 } })).toEqual({
      abort: { httpStatus: 500, percentage: { value: 0 } },
    });
    expect(fault({ delay: { fixedDelay: '1s', percent: 25 } })).toEqual({
      delay: { fixedDelay: '1s', percentage: { value: 25 } },
    });
  });

  test('[TM-10] a redirect is 301', () => {
    const http = [{ redirect: { uri: '/x' } }];
    expect(withDefaults(virtualService, { hosts: ['a'], http }).http[0]!.redirect).toEqual({
      uri: '/x',
      redirectCode: 301,
    });
  });

  test('empty lists of gateways and exportTo are the defaults', () => {
    const spec = withDefaults(virtualService, {
      hosts: ['a'],
      gateways: [],
      exportTo: [],
      http: [ROUTE],
    });
    expect([spec.gateways, spec.exportTo]).toEqual([['mesh'], ['*']]);
  });
});

test('a spec that uses every supported field is accepted', () => {
  expect(
    problems({
      hosts: ['reviews', '*.example.com', '10.0.0.1'],
      gateways: ['mesh'],
      exportTo: ['.', 'team-a'],
      http: [
        {
          name: 'canary',
          match: [
            {
              name: 'm',
              uri: { prefix: '/a' },
              scheme: { exact: 'http' },
              method: { regex: 'GET|POST' },
              authority: { prefix: 'reviews' },
              headers: { 'x-user': { exact: '' }, cookie: { regex: '.*(?i)jason.*' }, present: {} },
              withoutHeaders: { 'x-bot': {} },
              queryParams: { debug: { exact: '' } },
              ignoreUriCase: true,
              port: 9080,
              sourceLabels: { app: 'productpage', 'app.kubernetes.io/name': '' },
              sourceNamespace: 'default',
              gateways: ['mesh'],
            },
          ],
          route: [
            { destination: { host: 'reviews', subset: 'v1', port: { number: 9080 } }, weight: 9 },
            {
              destination: { host: 'reviews.default.svc.cluster.local' },
              weight: 0,
              headers: { response: { add: { 'x-v': '%RESPONSE_CODE%' }, remove: ['server'] } },
            },
          ],
          rewrite: { uri: '/b' },
          timeout: '1m30s',
          retries: { attempts: 3, perTryTimeout: '250ms', retryOn: 'connect-failure, 5xx,503' },
          fault: {
            delay: { fixedDelay: '0.5s', percentage: { value: 0.1 } },
            abort: { grpcStatus: 'UNAVAILABLE', percentage: { value: 100 } },
          },
          headers: {
            request: { set: { Host: 'x', 'x-a': '' }, add: { 'x-b': 'c' }, remove: ['x-c'] },
          },
        },
        {
          redirect: {
            authority: 'b.example:8080',
            derivePort: 'FROM_REQUEST_PORT',
            redirectCode: 308,
          },
        },
        { directResponse: { status: 503, body: { string: 'closed' } }, timeout: '0s' },
        { ...ROUTE, rewrite: { uriRegexRewrite: { match: '^/(a+)/(.*)$', rewrite: '/\\2/\\1' } } },
      ],
    }),
  ).toEqual([]);
});

describe('[PL-05] Istio rules between fields', () => {
  test('[TM-11] a route has exactly one action', () => {
    expect(problems({ hosts: ['a'], http: [{}] })).toEqual([
      'http[0]: needs one of route, redirect, directResponse',
    ]);
    expect(withRoute({ redirect: { uri: '/x' }, directResponse: { status: 200 } })).toEqual([
      'http[0].redirect: cannot be used together with route',
      'http[0].directResponse: cannot be used together with route',
    ]);
    const answer = {
      redirect: { uri: '/x' },
      fault: { abort: { httpStatus: 500 } },
      rewrite: { uri: '/' },
    };
    expect(problems({ hosts: ['a'], http: [answer] })).toEqual([
      'http[0].fault: cannot be used together with redirect',
      'http[0].rewrite: cannot be used together with redirect',
    ]);
  });

  test('[TM-08] weights are not negative and not all 0', () => {
    const destination = { host: 'a' };
    expect(
      problems({ hosts: ['a'], http: [{ route: [{ destination }, { destination }] }] }),
    ).toEqual(['http[0].route: the weights of the destinations are all 0 or missing']);
    expect(problems({ hosts: ['a'], http: [{ route: [{ destination, weight: -1 }] }] })).toEqual([
      'http[0].route[0].weight: -1 is not a whole number from 0 to 2147483647',
    ]);
    expect(problems({ hosts: ['a'], http: [{ route: [{ destination, weight: 0.5 }] }] })).toEqual([
      'http[0].route[0].weight: 0.5 is not a whole number from 0 to 2147483647',
    ]);
  });

  test('[TM-03] uri is one of exact, prefix, regex, and can match', () => {
    expect(withMatch({ uri: { exact: '/a', prefix: '/b' } })).toEqual([
      'http[0].match[0].uri.prefix: cannot be used together with exact',
    ]);
    expect(withMatch({ uri: {} })).toEqual([
      'http[0].match[0].uri: needs one of exact, prefix, regex',
    ]);
    expect(withMatch({ uri: { prefix: 'a' } })).toEqual([
      'http[0].match[0].uri.prefix: "a" must begin with /',
    ]);
    expect(withMatch({ uri: { exact: '/a?b=c' } })[0]).toContain('use queryParams');
    expect(withMatch({ uri: { regex: '/a(?=b)' } })[0]).toContain('RE2 syntax');
    expect(withMatch({ uri: { regex: '(' } })[0]).toContain('RE2 syntax');
  });

  test('[A8.3] regular expressions are bounded', () => {
    expect(withMatch({ uri: { regex: 'a'.repeat(1025) } })[0]).toContain(
      'more than 1024 characters',
    );
    expect(withMatch({ uri: { regex: '(a{99}bbbbbbbbbbbbb){99}' } })[0]).toContain(
      'counted repetitions',
    );
  });

  test('[TM-04] header and parameter names are checked', () => {
    expect(withMatch({ headers: { 'a b': {} } })).toEqual([
      'http[0].match[0].headers[a b]: the name "a b" is not a header name',
    ]);
    expect(withMatch({ headers: { a: null } })).toEqual([
      'http[0].match[0].headers.a: is empty (null); give it a value or remove it',
    ]);
    expect(withMatch({ queryParams: { 'a=b': {} } }).length).toBe(1);
  });

  test('[TM-05] gateways other than mesh are refused by name', () => {
    const expected =
      'gateways: [edge]: Gateway is not supported by Weft yet; only mesh (the sidecars) is';
    expect(problems({ hosts: ['*'], gateways: ['edge'], http: [ROUTE] })).toEqual([
      `gateways[0]: ${expected}`,
    ]);
    expect(withMatch({ gateways: ['mesh', 'edge'] })).toEqual([
      `http[0].match[0].gateways[1]: ${expected}`,
    ]);
  });

  test('[TM-07] hosts are names, not URLs, each once, and not everything', () => {
    expect(problems({ hosts: ['http://a'], http: [ROUTE] })[0]).toContain('is not a host');
    expect(problems({ hosts: ['a:80'], http: [ROUTE] })[0]).toContain('is not a host');
    expect(problems({ hosts: ['a', 'A'], http: [ROUTE] })).toEqual([
      'hosts[1]: "A" is listed twice',
    ]);
    expect(problems({ hosts: ['*'], http: [ROUTE] })[0]).toContain('would take every request');
    expect(problems({ hosts: [], http: [ROUTE] })).toEqual(['hosts: must not be empty']);
    expect(problems({ http: [ROUTE] })).toEqual([': hosts is required']);
  });

  test('a VirtualService without routes is refused', () => {
    expect(problems({ hosts: ['a'] })[0]).toContain('http is required');
  });

  test('[RS-02] retries', () => {
    expect(withRoute({ retries: { attempts: 0, retryOn: '5xx' } })[0]).toContain(
      'turns retries off',
    );
    expect(withRoute({ retries: { attempts: 0 } })).toEqual([]);
    expect(withRoute({ retries: { attempts: 2, retryOn: 'conect-failure' } })[0]).toContain(
      'did you mean connect-failure?',
    );
    const all =
      '5xx,gateway-error,reset,reset-before-request,connect-failure,retriable-4xx,refused-stream,' +
      'retriable-status-codes,retriable-headers,http3-post-connect-failure,cancelled,' +
      'deadline-exceeded,internal,resource-exhausted,unavailable,503';
    expect(withRoute({ retries: { attempts: 2, retryOn: all, backoff: '40ms' } })).toEqual([]);
    expect(withRoute({ retries: { backoff: '40ms' } })[0]).toContain('turns retries off');
    expect(withRoute({ retries: { attempts: 101 } })[0]).toContain('100');
    expect(withRoute({ retries: { attempts: 2, retryOn: '999' } }).length).toBe(1);
  });

  test('[TM-17] durations', () => {
    for (const timeout of ['10', '-1s', '1d', '1us', '', '1e999s', '9000h', '0.5ms']) {
      expect([timeout, withRoute({ timeout }).length]).toEqual([timeout, 1]);
    }
    expect(withRoute({ fault: { delay: { fixedDelay: '0s' } } })[0]).toContain(
      'is not at least 1ms',
    );
  });

  test('[TM-18] faults', () => {
    expect(withRoute({ fault: {} })).toEqual(['http[0].fault: needs at least one of delay, abort']);
    expect(withRoute({ fault: { abort: {} } })).toEqual([
      'http[0].fault.abort: needs one of httpStatus, grpcStatus',
    ]);
    expect(withRoute({ fault: { abort: { httpStatus: 600 } } }).length).toBe(1);
    expect(withRoute({ fault: { abort: { grpcStatus: 'UNAVAILBLE' } } })[0]).toContain(
      'did you mean UNAVAILABLE?',
    );
    const over = { abort: { httpStatus: 500, percentage: { value: 100.1 } } };
    expect(withRoute({ fault: over })[0]).toContain('is not a number from 0 to 100');
    const both = { delay: { fixedDelay: '1s', percent: 1, percentage: { value: 1 } } };
    expect(withRoute({ fault: both })).toEqual([
      'http[0].fault.delay.percent: cannot be used together with percentage',
    ]);
  });

  test('[TM-10] redirects', () => {
    const redirect = (value: object) => problems({ hosts: ['a'], http: [{ redirect: value }] });
    expect(redirect({ redirectCode: 304, uri: '/' })).toEqual([
      'http[0].redirect.redirectCode: 304 is not one of 301, 302, 303, 307, 308',
    ]);
    expect(redirect({})[0]).toContain('needs at least one of');
    expect(redirect({ port: 80, derivePort: 'FROM_REQUEST_PORT' })[0]).toContain(
      'together with port',
    );
  });

  test('[TM-11] direct responses', () => {
    const body = (value: object) =>
      problems({ hosts: ['a'], http: [{ directResponse: { status: 200, body: value } }] });
    expect(body({ bytes: 'aGk=' })).toEqual([]);
    expect(body({ bytes: 'not base64' })[0]).toContain('is not base64');
    expect(body({ string: 'a', bytes: 'aGk=' })[0]).toContain('cannot be used together');
    expect(body({ string: 'é'.repeat(600_000) })[0]).toContain('longer than 1048576 bytes');
  });

  test('[TM-12] rewrites', () => {
    expect(withRoute({ rewrite: {} })[0]).toContain('needs at least one of uri, authority');
    const regex = (match: string, rewrite: string) =>
      withRoute({ rewrite: { uriRegexRewrite: { match, rewrite } } });
    expect(regex('^/(a)$', '/\\2')).toEqual([
      'http[0].rewrite.uriRegexRewrite.rewrite: \\2 refers to a group that match does not have (it has 1)',
    ]);
    expect(regex('^/a$', '/\\q')[0]).toContain('has no meaning');
    expect(regex('^/a$', '/\\')[0]).toContain('has no meaning');
  });

  test('[TM-13] headers that frame the message cannot be changed, Host has one writer', () => {
    const request = (value: object) => withRoute({ headers: { request: value } });
    expect(request({ set: { 'Transfer-Encoding': 'x' } })[0]).toContain('set by the proxy alone');
    expect(request({ remove: ['content-length'] })[0]).toContain('set by the proxy alone');
    expect(request({ remove: ['host'] })[0]).toContain('cannot be changed here');
    expect(request({ set: { ':path': '/x' } }).length).toBe(1);
    expect(request({ set: { a: 'b\r\nc: d' } })[0]).toContain(
      'characters that no header may carry',
    );
    expect(
      withRoute({ rewrite: { authority: 'x' }, headers: { request: { set: { host: 'y' } } } }),
    ).toEqual([
      'http[0]: the authority is set more than once: rewrite.authority, headers.request.set.host',
    ]);
  });

  test('a destination is one service', () => {
    expect(
      problems({ hosts: ['a'], http: [{ route: [{ destination: { host: '*.a' } }] }] })[0],
    ).toContain('a wildcard cannot be called');
    const port = { host: 'a', port: { number: 70_000 } };
    expect(problems({ hosts: ['a'], http: [{ route: [{ destination: port }] }] }).length).toBe(1);
  });
});

test.each(['mirror', 'mirrors', 'mirrorPercentage', 'corsPolicy', 'delegate'])(
  '%s is known to Istio and refused as not supported yet',
  (field) => {
    expect(withRoute({ [field]: {} })[0]).toContain(
      `http[0].${field}: known to Istio, not supported by Weft yet`,
    );
  },
);
