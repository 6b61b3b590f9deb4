import { expect, test } from 'vitest';
import { match, route, routeConfig, virtualHost } from '../../test/proxy-exchange.ts';
import { RequestHead } from '../http/message.ts';
import { compileRegex } from '../xds/compile/regex.ts';
import { NESTED_MAX, PrefixIndex } from './prefix-index.ts';
import type { HeaderMatcher, RouteMatchConfig } from './route-config.ts';
import { literalPrefix, RouteIndex } from './route-index.ts';
import { RouteTable } from './route-table.ts';

type PathMatch = RouteMatchConfig['path'];

const exact = (value: string, ignoreCase = false): PathMatch => ({
  kind: 'exact',
  value,
  ignoreCase,
});
const prefix = (value: string, ignoreCase = false): PathMatch => ({
  kind: 'prefix',
  value,
  ignoreCase,
});
const regex = (source: string): PathMatch => {
  const compiled = compileRegex(source);
  if ('problem' in compiled) throw new Error(compiled.problem);
  return { kind: 'regex', regex: compiled };
};
const headerIs = (name: string, value: string): HeaderMatcher => ({
  name,
  value: { kind: 'exact', value, ignoreCase: false },
  invert: false,
  missingAsEmpty: false,
});

function indexOf(matches: readonly Partial<RouteMatchConfig>[]): RouteIndex {
  return new RouteIndex(matches.map((parts) => route('/', 'a', {}, { match: match(parts) })));
}

function request(path: string, headers: string[] = []): RequestHead {
  return new RequestHead('GET', 'http', 'a', path, headers, 'HTTP/1.1');
}

const found = (paths: readonly PathMatch[], path: string): number =>
  indexOf(paths.map((one) => ({ path: one }))).find(request(path), path, () => 0);

test('[TM-01] the first of an exact path, a prefix, a regular expression and an empty prefix wins', () => {
  const rules = [regex('.*\\.png'), exact('/a/b.png'), prefix('/a/'), prefix('/a/b'), prefix('')];
  expect(found(rules, '/a/b.png')).toBe(0);
  expect(found(rules.slice(1), '/a/b.png')).toBe(0);
  expect(found([...rules].reverse(), '/a/b.png')).toBe(0);
  expect(found(rules.slice(2), '/a/b')).toBe(0);
  expect(found([rules[3]!, rules[2]!], '/a/b')).toBe(0);
  expect(found(rules, '/x')).toBe(4);
  expect(found(rules.slice(0, 4), '/x')).toBe(-1);
});

test('[TM-01] routes that share a path are tried in their order, and among others of other paths', () => {
  const index = indexOf([
    { path: exact('/a'), headers: [headerIs('x', '1')] },
    { path: prefix('/'), headers: [headerIs('x', '2')] },
    { path: exact('/a'), headers: [headerIs('x', '2')] },
    { path: exact('/a') },
    { path: prefix('/') },
  ]);
  const of = (headers: string[], path = '/a') => index.find(request(path, headers), path, () => 0);
  expect(of(['x', '1'])).toBe(0);
  expect(of(['x', '2'])).toBe(1);
  expect(of(['x', '3'])).toBe(3);
  expect(of(['x', '1'], '/b')).toBe(4);
});

test('[TM-03] rules that ignore case are found beside rules that do not', () => {
  const rules = [exact('/Ab', true), exact('/AB'), prefix('/ä', true), prefix('/Ab'), prefix('/K')];
  expect(found(rules, '/aB')).toBe(0);
  expect(found(rules.slice(1), '/AB')).toBe(0);
  expect(found(rules.slice(1), '/aB')).toBe(-1);
  expect(found(rules, '/Äx')).toBe(2);
  expect(found(rules.slice(2), '/Abc')).toBe(1);
  // The Kelvin sign is a k in lower case.
  expect(found([prefix('/k', true)], '/\u212A')).toBe(0);
  expect(found([exact('/\u212A', true)], '/k')).toBe(0);
});

test('[TM-01] prefixes in one another beyond those that are followed are still found in order', () => {
  const nested = Array.from({ length: 3 * NESTED_MAX }, (_, at) => prefix(`/${'a'.repeat(at)}`));
  const path = `/${'a'.repeat(2 * NESTED_MAX)}`;
  expect(found(nested, path)).toBe(0);
  expect(found([...nested].reverse(), path)).toBe(NESTED_MAX - 1);
  expect(found([prefix('/b'), ...nested.slice(NESTED_MAX + 5)], path)).toBe(1);
});

test('a path of 64 KiB is read no further than the rules are long', () => {
  const rules = [exact('/a'), prefix('/aaa'), prefix('/aab')];
  expect(found(rules, `/${'a'.repeat(65_536)}`)).toBe(1);
  expect(found([exact(`/${'a'.repeat(65_536)}`), ...rules], `/${'a'.repeat(65_536)}`)).toBe(0);
});

test('[PR-09] CONNECT meets connect rules alone, and nothing else meets them', () => {
  const index = indexOf([
    { path: prefix('/') },
    { path: { kind: 'connect' }, headers: [headerIs('x', '1')] },
    { path: { kind: 'connect' } },
  ]);
  const head = request('');
  head.upgrade = 'connect';
  expect(index.find(head, '', () => 0)).toBe(2);
  expect(indexOf([{ path: { kind: 'connect' } }]).find(request('/'), '/', () => 0)).toBe(-1);
});

test('the longest prefix of a text and those around it are found', () => {
  const index = new PrefixIndex();
  expect(['/', '/a', '/a/b', '/b'].map((text) => index.add(text))).toEqual([0, 1, 2, 3]);
  const around = (text: string): number[] => {
    const entries = [];
    for (let at = index.longest(text); at >= 0; at = index.outer(at)) entries.push(at);
    return entries;
  };
  expect(around('/a/c')).toEqual([1, 0]);
  expect(around('/a/b')).toEqual([2, 1, 0]);
  expect(around('/c')).toEqual([0]);
  expect(around('/')).toEqual([0]);
  expect(around('')).toEqual([]);
  expect(around('z')).toEqual([]);
});

const LITERALS: readonly [source: string, literal: string][] = [
  ['/a/b', '/a/b'],
  ['/a/.*', '/a/'],
  ['/ab?c', '/a'],
  ['/ab*', '/a'],
  ['/ab{0,2}', '/a'],
  ['/ab+', '/ab'],
  ['/a|/b', ''],
  ['(?i)/a', ''],
  ['.*', ''],
  ['/a\\.b', '/a'],
];

test.each(LITERALS)('all that %s matches begins with "%s"', (source, literal) => {
  expect(literalPrefix(source)).toBe(literal);
});

test('[TM-01] a virtual host of thousands of routes gives each request its own', () => {
  const routes = Array.from({ length: 5000 }, (_, at) =>
    route('/', 'a', {}, { name: `${at}`, match: match({ path: prefix(`/service-${at}/`) }) }),
  );
  const table = new RouteTable(routeConfig([virtualHost(routes)]));
  for (const at of [0, 1, 10, 49, 4999]) {
    const first = table.findRoute(request(`/service-${at}/x?y`), () => 0);
    expect(first?.entry.name).toBe(`${at}`);
    expect(table.findRoute(request(`/service-${at}/z`), () => 0)).toBe(first);
  }
  expect(table.findRoute(request('/service-5000/'), () => 0)).toBeNull();
});
