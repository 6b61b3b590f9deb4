import { expect, test } from 'vitest';
import { parseAppProbers } from './app-prober.ts';

const LIVE = '/app-health/app/livez';

function one(probe: unknown, path = LIVE) {
  const parsed = parseAppProbers(JSON.stringify({ [path]: probe }));
  if (!parsed.ok) throw new Error(parsed.problem);
  return parsed.probers.get(path);
}

test("[KI-05] Istio's JSON is read", () => {
  const parsed = parseAppProbers(
    JSON.stringify({
      '/app-health/httpbin/livez': { httpGet: { path: '/hello', port: 8080 } },
      '/app-health/httpbin/readyz': {
        httpGet: { port: 8443, scheme: 'HTTPS', httpHeaders: [{ name: 'Host', value: 'x.y' }] },
        timeoutSeconds: 3,
      },
      '/app-health/db/startupz': { tcpSocket: { port: 5432, host: 'localhost' } },
      '/app-health/rpc/readyz': { grpc: { port: 7070, service: 'a.B' }, timeoutSeconds: 2 },
      '/app-health/rpc/livez': { grpc: { port: 7070, service: null } },
      '/app-lifecycle/httpbin/prestopz': { httpGet: { path: 'bye', port: 8080 } },
    }),
  );
  expect(parsed.ok && Object.fromEntries(parsed.probers)).toEqual({
    '/app-health/httpbin/livez': {
      kind: 'httpGet',
      scheme: 'http',
      host: '',
      port: 8080,
      path: '/hello',
      headers: [],
      timeoutMs: 1000,
    },
    '/app-health/httpbin/readyz': {
      kind: 'httpGet',
      scheme: 'https',
      host: '',
      port: 8443,
      path: '/',
      headers: [['Host', 'x.y']],
      timeoutMs: 3000,
    },
    '/app-health/db/startupz': {
      kind: 'tcpSocket',
      host: 'localhost',
      port: 5432,
      timeoutMs: 1000,
    },
    '/app-health/rpc/readyz': {
      kind: 'grpc',
      host: '',
      port: 7070,
      service: 'a.B',
      timeoutMs: 2000,
    },
    '/app-health/rpc/livez': { kind: 'grpc', host: '', port: 7070, service: '', timeoutMs: 1000 },
    // A hook takes as long as the pod lets it.
    '/app-lifecycle/httpbin/prestopz': {
      kind: 'httpGet',
      scheme: 'http',
      host: '',
      port: 8080,
      path: '/bye',
      headers: [],
      timeoutMs: 3_600_000,
    },
  });
});

test('no probes are no mistake', () => {
  expect(parseAppProbers('')).toEqual({ ok: true, probers: new Map() });
});

test.each<[string, unknown, string]>([
  ['a named port', { httpGet: { port: 'web' } }, 'port "web" is a name; the injector writes'],
  ['no port', { tcpSocket: {} }, 'port must be a number'],
  ['a port that is none', { grpc: { port: 65_536 } }, 'port must be a number'],
  ['two kinds', { tcpSocket: { port: 1 }, grpc: { port: 1 } }, 'must have one of'],
  ['exec', { exec: { command: ['true'] } }, 'must have one of httpGet, tcpSocket and grpc'],
  ['a text', 'x', 'the probe must be an object'],
  ['another host', { httpGet: { port: 1, host: '10.0.0.9' } }, 'host "10.0.0.9" is not this pod'],
  ['a scheme', { httpGet: { port: 1, scheme: 'ftp' } }, 'scheme "ftp" is not one of HTTP, HTTPS'],
  ['a timeout', { tcpSocket: { port: 1 }, timeoutSeconds: -1 }, 'timeoutSeconds must be'],
  [
    'a header with a line end',
    { httpGet: { port: 1, httpHeaders: [{ name: 'x', value: 'a\r\nhost: evil' }] } },
    'the value of x has characters that may not stand there',
  ],
  [
    'a header that is no name',
    { httpGet: { port: 1, httpHeaders: [{ name: 'x: y\r\n', value: '' }] } },
    'is no name of a header',
  ],
  [
    'a thousand headers',
    { httpGet: { port: 1, httpHeaders: Array(1000).fill({ name: 'x', value: '' }) } },
    'must be a list of at most 64',
  ],
])('[KI-05] %s breaks that probe alone, with its reason', (_name, probe, reason) => {
  const broken = one(probe);
  expect(broken).toMatchObject({ kind: 'broken' });
  expect(broken).toHaveProperty('reason', expect.stringContaining(reason));
});

test('[A5.4] what a request line cannot hold is escaped', () => {
  const path = '/a b\r\nX: 1\u00e9?q=\u{1f600}';
  expect(one({ httpGet: { port: 1, path } })).toMatchObject({
    path: '/a%20b%0d%0aX:%201%c3%a9?q=%f0%9f%98%80',
  });
});

test.each([
  ['{', 'is no JSON: '],
  ['[]', 'must be an object of path and probe'],
  ['{"/quitquitquit": {}}', '"/quitquitquit" must read /app-health/<container>/livez'],
  ['{"/app-health/a/prestopz": {}}', 'must read /app-health/<container>/livez'],
  [
    JSON.stringify(
      Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`/app-health/c${i}/livez`, {}])),
    ),
    'has more than 256 probes',
  ],
])('%s is refused as a whole', (text, problem) => {
  const parsed = parseAppProbers(text);
  expect(parsed.ok ? '' : parsed.problem).toContain(problem);
});
