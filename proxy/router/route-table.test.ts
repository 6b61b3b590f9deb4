import { expect, test } from 'vitest';
import { match, route, routeConfig, virtualHost } from '../../test/proxy-exchange.ts';
import { isGrpcContent } from '../http/grpc-content-type.ts';
import { RequestHead } from '../http/message.ts';
import { queryParameter } from './query-match.ts';
import type {
  HeaderMatcher,
  RegexMatcher,
  RouteMatchConfig,
  StringMatcher,
} from './route-config.ts';
import { RouteTable } from './route-table.ts';
import { matchString } from './string-match.ts';

function request(path: string, headers: string[] = [], method = 'GET', authority = 'a') {
  return new RequestHead(method, 'http', authority, path, headers, 'HTTP/1.1');
}

function regex(source: string): RegexMatcher {
  const whole = new RegExp(`^(?:${source})$`);
  return {
    source,
    matches: (value) => whole.test(value),
    replace: (value, substitution) =>
      value.replaceAll(new RegExp(source, 'g'), substitution.replaceAll(/\\([0-9])/g, '$$$1')),
  };
}

/** Name of the route that a request meets among `matches`, or ''. */
function chosen(
  matches: readonly Partial<RouteMatchConfig>[],
  head: RequestHead,
  random = () => 0,
): string {
  const routes = matches.map((parts, n) =>
    route('/', 'a', {}, { name: String(n), match: match(parts) }),
  );
  const table = new RouteTable(routeConfig([virtualHost(routes)]));
  return table.findRoute(head, random)?.entry.name ?? '';
}

const prefix = (value: string, ignoreCase = false): Partial<RouteMatchConfig> => ({
  path: { kind: 'prefix', value, ignoreCase },
});
const exact = (value: string, ignoreCase = false): Partial<RouteMatchConfig> => ({
  path: { kind: 'exact', value, ignoreCase },
});

test('[TM-01] routes are tried top to bottom and the first hit wins', () => {
  expect(chosen([prefix('/a'), exact('/a'), prefix('/')], request('/a'))).toBe('0');
  expect(chosen([exact('/a'), prefix('/a')], request('/ab'))).toBe('1');
  expect(chosen([exact('/a')], request('/b'))).toBe('');
});

const PATH_ROWS: readonly [Partial<RouteMatchConfig>, string, boolean][] = [
  [prefix('/foo'), '/foobar', true],
  [prefix('/foo'), '/Foo', false],
  [prefix('/foo', true), '/FOObar?x', true],
  [exact('/foo'), '/foo?q=1', true],
  [exact('/foo'), '/foo/', false],
  [exact('/foo', true), '/FOO', true],
  [exact('/foo'), '/foo#frag', true],
  [{ path: { kind: 'regex', regex: regex('/a[0-9]+') } }, '/a12?q', true],
  [{ path: { kind: 'regex', regex: regex('/a[0-9]+') } }, '/a12/x', false],
  [{ path: { kind: 'pathSeparatedPrefix', value: '/foo', ignoreCase: false } }, '/foo', true],
  [{ path: { kind: 'pathSeparatedPrefix', value: '/foo', ignoreCase: false } }, '/foo/x', true],
  [{ path: { kind: 'pathSeparatedPrefix', value: '/foo', ignoreCase: false } }, '/foobar', false],
  [{ path: { kind: 'pathSeparatedPrefix', value: '/foo', ignoreCase: false } }, '/foo?x', true],
];
test.each(PATH_ROWS)('[TM-03] %j on %s: %s', (parts, path, yes) => {
  expect(chosen([parts], request(path))).toBe(yes ? '0' : '');
});

test('[TM-03] only a connect rule means CONNECT, and nothing else', () => {
  const connect = request('', [], 'CONNECT', 'a:80');
  connect.upgrade = 'connect';
  expect(chosen([prefix('/'), { path: { kind: 'connect' } }], connect)).toBe('1');
  expect(chosen([{ path: { kind: 'connect' } }], request('/'))).toBe('');
});

function header(name: string, value: StringMatcher, rest: Partial<HeaderMatcher> = {}) {
  return { headers: [{ name, value, invert: false, missingAsEmpty: false, ...rest }] };
}
const is = (value: string): StringMatcher => ({ kind: 'exact', value, ignoreCase: false });
const PRESENT: StringMatcher = { kind: 'present' };

const HEADER_ROWS: readonly [string, Partial<RouteMatchConfig>, string[], boolean][] = [
  ['exact', header('end-user', is('jason')), ['end-user', 'jason'], true],
  ['exact, other value', header('end-user', is('jason')), ['end-user', 'mary'], false],
  ['exact, absent', header('end-user', is('jason')), [], false],
  ['presence', header('x', PRESENT), ['x', ''], true],
  ['presence, absent', header('x', PRESENT), [], false],
  ['absence', header('x', PRESENT, { invert: true }), [], true],
  ['absence, present', header('x', PRESENT, { invert: true }), ['x', '1'], false],
  ['inverted', header('x', is('1'), { invert: true }), ['x', '2'], true],
  ['inverted, absent: nothing to compare', header('x', is('1'), { invert: true }), [], false],
  [
    'withoutHeaders: inverted, absent as empty',
    header('x', is('1'), { invert: true, missingAsEmpty: true }),
    [],
    true,
  ],
  ['presence, absent as empty', header('x', PRESENT, { missingAsEmpty: true }), [], true],
  [
    'absence, absent as empty',
    header('x', PRESENT, { invert: true, missingAsEmpty: true }),
    [],
    false,
  ],
  ['two lines are one list', header('x', is('1,2')), ['x', '1', 'x', '2'], true],
  ['method', header(':method', is('GET')), [], true],
  ['authority', header(':authority', is('a')), [], true],
  ['scheme', header(':scheme', is('https')), [], false],
  ['path with query', header(':path', is('/?a=b')), [], true],
  ['range', header('n', { kind: 'range', start: 1, end: 10 }), ['n', '9'], true],
  ['range, its end is out', header('n', { kind: 'range', start: 1, end: 10 }), ['n', '10'], false],
  ['range, no number', header('n', { kind: 'range', start: 0, end: 10 }), ['n', '1x'], false],
];
test.each(HEADER_ROWS)('[TM-04] [A2.4] header %s', (_name, parts, headers, yes) => {
  expect(chosen([parts], request('/?a=b', headers))).toBe(yes ? '0' : '');
});

test.each([
  ['/x?a=1&b=2', 'b', '2'],
  ['/x?a', 'a', ''],
  ['/x?a=1&a=2', 'a', '1'],
  ['/x', 'a', null],
  ['/x?aa=1', 'a', null],
  ['/x?b=1#?a=1', 'a', null],
  ['/x?a=1=2', 'a', '1=2'],
])('[TM-04] query parameter of %s: %s is %s', (path, name, value) => {
  expect(queryParameter(path, name)).toBe(value);
});

test('[TM-04] query parameters are ANDed with the rest', () => {
  const parts = { queryParameters: [{ name: 'v', value: is('2') }], ...prefix('/x') };
  expect(chosen([parts], request('/x?v=2'))).toBe('0');
  expect(chosen([parts], request('/x?v=3'))).toBe('');
  expect(chosen([parts], request('/y?v=2'))).toBe('');
});

test.each([
  ['prefix', 'ab', 'abc', true],
  ['suffix', 'bc', 'abc', true],
  ['contains', 'b', 'abc', true],
  ['contains', 'd', 'abc', false],
] as const)('[TM-04] %s %s of %s: %s', (kind, value, text, yes) => {
  expect(matchString({ kind, value, ignoreCase: false }, text)).toBe(yes);
  expect(matchString({ kind, value: value.toUpperCase(), ignoreCase: true }, text)).toBe(yes);
});

test('[TM-06] a gRPC rule means application/grpc only', () => {
  for (const [type, yes] of [
    ['application/grpc', true],
    ['application/grpc+proto', true],
    ['application/grpc;x=1', true],
    ['application/grpc-web', false],
    ['application/json', false],
  ] as const) {
    expect(isGrpcContent(['content-type', type])).toBe(yes);
    expect(chosen([{ grpc: true }], request('/', ['content-type', type]))).toBe(yes ? '0' : '');
  }
});

test('[TM-07] the host is compared without regard to case, with or without its port', () => {
  const hosts = (ignorePortInHost: boolean) =>
    new RouteTable({
      ...routeConfig([virtualHost([route('/', 'a')], ['a.b', 'a.b:81'])]),
      ignorePortInHost,
    });
  expect(hosts(false).findVirtualHost('A.B')?.config.name).toBe('vh-a.b');
  expect(hosts(false).findVirtualHost('a.b:81')).not.toBeNull();
  expect(hosts(false).findVirtualHost('a.b:82')).toBeNull();
  expect(hosts(true).findVirtualHost('a.b:82')).not.toBeNull();
});

test('a runtime fraction lets its share through', () => {
  expect(chosen([{ fractionPerMillion: 500_000 }], request('/'), () => 0.4)).toBe('0');
  expect(chosen([{ fractionPerMillion: 500_000 }], request('/'), () => 0.6)).toBe('');
});
