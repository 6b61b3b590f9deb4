import { expect, test } from 'vitest';
import { exchange, match, NO_MUTATIONS, route } from '../../test/proxy-exchange.ts';
import { RequestHead } from '../http/message.ts';
import { redirectLocation } from './redirect.ts';
import { rewritePath } from './rewrite.ts';
import type { RedirectConfig, RegexMatcher, RouteMatchConfig } from './route-config.ts';

const NOTHING = { prefixRewrite: '', regexRewrite: null };
const swap: RegexMatcher = {
  source: '/([a-z]+)/([a-z]+)',
  matches: () => true,
  replace: (value) => value.replace(/\/([a-z]+)\/([a-z]+)/, '/$2/$1'),
};

const PATHS: readonly [RouteMatchConfig['path'], string, string, string][] = [
  [{ kind: 'prefix', value: '/foo', ignoreCase: false }, '/bar', '/foo/x?q=1', '/bar/x?q=1'],
  [{ kind: 'prefix', value: '/foo/', ignoreCase: false }, '/', '/foo/x', '/x'],
  [{ kind: 'exact', value: '/foo', ignoreCase: false }, '/bar', '/foo?q=1', '/bar?q=1'],
  [{ kind: 'pathSeparatedPrefix', value: '/foo', ignoreCase: false }, '/bar', '/foo/x', '/bar/x'],
  [{ kind: 'prefix', value: '/foo', ignoreCase: true }, '/bar', '/FOO/x', '/bar/x'],
];
test.each(PATHS)('[TM-12] %j to %s: %s becomes %s', (rule, prefixRewrite, path, rewritten) => {
  expect(rewritePath(path, rule, { ...NOTHING, prefixRewrite })).toBe(rewritten);
});

test('[TM-12] a regular expression rewrites the path and keeps the query', () => {
  const rule = match().path;
  const regexRewrite = { regex: swap, substitution: '/\\2/\\1' };
  expect(rewritePath('/ab/cd?q=/x/y', rule, { ...NOTHING, regexRewrite })).toBe('/cd/ab?q=/x/y');
});

test('[TM-12] the upstream sees the new path, the log the old one', () => {
  const mesh = exchange({
    routes: [route('/api', 'a', { prefixRewrite: '/v1', hostRewrite: 'other.host' })],
  });
  mesh.connect().get('/api/x?q=1').close();
  const attempt = mesh.cluster('a').last;
  expect(attempt.path).toBe('/v1/x?q=1');
  expect(attempt.authority).toBe('other.host');
  expect(attempt.header('x-envoy-original-host')).toBe('a');
  expect(attempt.header('x-envoy-original-path')).toBe('/api/x?q=1');
  expect(mesh.record.path).toBe('/api/x?q=1');
});

test('[TM-12] auto host rewrite takes the name of the endpoint', () => {
  const mesh = exchange({ routes: [route('/', 'a', { autoHostRewrite: true })] });
  mesh.cluster('a').endpoints[0]!.hostname = 'endpoint.name';
  mesh.connect().get();
  expect(mesh.cluster('a').last.authority).toBe('endpoint.name');
});

function redirect(parts: Partial<RedirectConfig>): RedirectConfig {
  return {
    kind: 'redirect',
    scheme: '',
    host: '',
    port: 0,
    path: '',
    prefixRewrite: '',
    regexRewrite: null,
    status: 301,
    stripQuery: false,
    ...parts,
  };
}

const REDIRECTS: readonly [Partial<RedirectConfig>, string, string][] = [
  [{ path: '/new' }, 'a.b', 'http://a.b/new?q=1'],
  [{ path: '/new?own=1' }, 'a.b', 'http://a.b/new?own=1'],
  [{ path: '/new', stripQuery: true }, 'a.b', 'http://a.b/new'],
  [{ scheme: 'https' }, 'a.b', 'https://a.b/old/x?q=1'],
  [{ scheme: 'https' }, 'a.b:80', 'https://a.b/old/x?q=1'],
  [{ scheme: 'https', port: 443 }, 'a.b:8080', 'https://a.b/old/x?q=1'],
  [{ scheme: 'https' }, 'a.b:8080', 'https://a.b:8080/old/x?q=1'],
  [{ host: 'c.d' }, 'a.b:8080', 'http://c.d/old/x?q=1'],
  [{ port: 81 }, 'a.b', 'http://a.b:81/old/x?q=1'],
  [{ prefixRewrite: '/new' }, 'a.b', 'http://a.b/new/x?q=1'],
];
test.each(REDIRECTS)('[TM-10] redirect %j of %s leads to %s', (parts, authority, location) => {
  const head = new RequestHead('GET', 'http', authority, '/old/x?q=1', [], 'HTTP/1.1');
  const rule = { kind: 'prefix', value: '/old', ignoreCase: false } as const;
  expect(redirectLocation(redirect(parts), rule, head)).toBe(location);
});

test('[TM-10] a redirect is answered here', () => {
  const entry = { ...route('/', 'a'), action: redirect({ host: 'z', status: 308 }) };
  const mesh = exchange({ routes: [entry] });
  const client = mesh.connect().get('/p');
  expect(client.status).toBe(308);
  expect(client.header('location')).toBe('http://z/p');
  expect(mesh.cluster('a').tries).toEqual([]);
});

test('[TM-11] a direct response has no upstream call, its route changes its fields', () => {
  const entry = {
    ...route('/', 'a'),
    action: { kind: 'directResponse' as const, status: 418, body: Buffer.from('teapot') },
    responseHeaders: {
      ...NO_MUTATIONS,
      add: [
        {
          name: 'x-pot',
          value: 'yes',
          format: false,
          action: 'append' as const,
          keepEmpty: false,
        },
      ],
    },
  };
  const mesh = exchange({ routes: [entry] });
  const client = mesh.connect().get();
  expect(client.status).toBe(418);
  expect(client.body).toBe('teapot');
  expect(client.header('x-pot')).toBe('yes');
  expect(mesh.record.responseCodeDetails).toBe('direct_response');
  expect(mesh.flags).toBe('-');
  expect(mesh.cluster('a').tries).toEqual([]);
});
