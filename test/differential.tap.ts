import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { freePorts } from '../cli/run/free-port.ts';
import { type EchoApp, echoApp } from './harness/echo-app.ts';
import { findEnvoy, noEnvoy } from './harness/envoy.ts';
import { rawExchange } from './harness/raw-exchange.ts';
import { httpListener, socketAddress, staticCluster, staticProxy } from './harness/static-proxy.ts';
import { until } from './harness/until.ts';

/**
 * One bootstrap given to Envoy and to Weft, the same requests sent to both, the answers compared: status, headers but
 * for those that must differ, body, and what the app saw.
 */

t.setTimeout(200_000);

const FAULT = 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault';
const ROUTER = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router';

function resources(port: number, app: EchoApp, deadPort: number): object {
  const route = (match: object, action: object) => ({ match, ...action });
  const to = (cluster: string, extra: object = {}) => ({ route: { cluster, ...extra } });
  return {
    listeners: [
      httpListener(
        port,
        [
          {
            name: 'echo',
            domains: ['echo.example', '*.echo.example', 'echo.example:*'],
            request_headers_to_add: [{ header: { key: 'x-vhost', value: 'echo' } }],
            response_headers_to_remove: ['x-app'],
            routes: [
              route({ path: '/exact' }, to('echo')),
              route({ path: '/CaSe', case_sensitive: false }, to('echo')),
              route({ prefix: '/prefix/' }, to('echo', { prefix_rewrite: '/rewritten/' })),
              route({ path_separated_prefix: '/segment' }, to('echo')),
              route(
                { safe_regex: { regex: '/re/[a-z]+/\\d+' } },
                to('echo', {
                  regex_rewrite: {
                    pattern: { regex: '^/re/([a-z]+)/(\\d+)$' },
                    substitution: '/\\2/\\1',
                  },
                }),
              ),
              route(
                { prefix: '/h', headers: [{ name: 'x-kind', string_match: { exact: 'a' } }] },
                to('echo', { host_rewrite_literal: 'by-header' }),
              ),
              route(
                { prefix: '/h', headers: [{ name: 'x-kind', string_match: { prefix: 'b' } }] },
                to('dead'),
              ),
              route(
                { prefix: '/q', query_parameters: [{ name: 'v', string_match: { exact: '1' } }] },
                to('echo'),
              ),
              route(
                {
                  prefix: '/not',
                  headers: [{ name: 'x-block', present_match: true, invert_match: true }],
                },
                to('echo'),
              ),
              route(
                { prefix: '/redirect' },
                {
                  redirect: {
                    host_redirect: 'else.example',
                    prefix_rewrite: '/to',
                    response_code: 'TEMPORARY_REDIRECT',
                  },
                },
              ),
              route(
                { prefix: '/https' },
                { redirect: { https_redirect: true, strip_query: true } },
              ),
              route(
                { prefix: '/direct' },
                { direct_response: { status: 418, body: { inline_string: 'tea' } } },
              ),
              route({ prefix: '/dead' }, to('dead')),
              route({ prefix: '/empty' }, to('empty')),
              route({ prefix: '/missing' }, to('missing')),
              route(
                { prefix: '/abort' },
                {
                  ...to('echo'),
                  typed_per_filter_config: {
                    'envoy.filters.http.fault': {
                      '@type': FAULT,
                      abort: { http_status: 555, percentage: { numerator: 100 } },
                    },
                  },
                },
              ),
              route(
                { prefix: '/status/' },
                to('echo', { retry_policy: { retry_on: '5xx', num_retries: 1 } }),
              ),
              route(
                { prefix: '/mutate' },
                {
                  ...to('echo'),
                  request_headers_to_add: [
                    {
                      header: { key: 'x-set', value: 'new' },
                      append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
                    },
                    {
                      header: { key: 'x-add', value: 'two' },
                      append_action: 'APPEND_IF_EXISTS_OR_ADD',
                    },
                    {
                      header: { key: 'x-if-absent', value: 'mine' },
                      append_action: 'ADD_IF_ABSENT',
                    },
                    { header: { key: 'x-method', value: '%REQ(:METHOD)%-%REQ(x-missing?x-set)%' } },
                  ],
                  request_headers_to_remove: ['x-remove'],
                  response_headers_to_add: [
                    { header: { key: 'x-flags', value: '%RESPONSE_FLAGS%' } },
                  ],
                },
              ),
            ],
          },
          {
            name: 'fallback',
            domains: ['fallback.*'],
            routes: [route({ prefix: '/' }, to('echo'))],
          },
        ],
        {
          normalize_path: true,
          merge_slashes: true,
          http_filters: [
            { name: 'envoy.filters.http.fault', typed_config: { '@type': FAULT } },
            { name: 'envoy.filters.http.router', typed_config: { '@type': ROUTER } },
          ],
        },
      ),
    ],
    clusters: [
      staticCluster('echo', [app.port]),
      staticCluster('dead', [deadPort]),
      staticCluster('empty', []),
    ],
  };
}

/** Name, request line and headers (host first). */
const REQUESTS: readonly (readonly [string, string])[] = [
  ['exact path', 'GET /exact HTTP/1.1\r\nhost: echo.example'],
  ['exact path with query', 'GET /exact?a=b&c HTTP/1.1\r\nhost: echo.example'],
  ['path that is not there [NR]', 'GET /exactly HTTP/1.1\r\nhost: echo.example'],
  ['path whatever its case', 'GET /cAsE HTTP/1.1\r\nhost: echo.example'],
  ['rewritten prefix [TM-12]', 'GET /prefix/a/b?q=1 HTTP/1.1\r\nhost: echo.example'],
  ['segment', 'GET /segment/x HTTP/1.1\r\nhost: echo.example'],
  ['no segment', 'GET /segmented HTTP/1.1\r\nhost: echo.example'],
  ['regex rewrite', 'GET /re/abc/42?x HTTP/1.1\r\nhost: echo.example'],
  ['regex that must match whole', 'GET /re/abc/42/more HTTP/1.1\r\nhost: echo.example'],
  ['header exact, host rewritten', 'GET /h HTTP/1.1\r\nhost: echo.example\r\nx-kind: a'],
  ['header prefix to a dead cluster [UF]', 'GET /h HTTP/1.1\r\nhost: echo.example\r\nx-kind: bb'],
  ['header missing', 'GET /h HTTP/1.1\r\nhost: echo.example'],
  ['query', 'GET /q?v=1 HTTP/1.1\r\nhost: echo.example'],
  ['other query', 'GET /q?v=2 HTTP/1.1\r\nhost: echo.example'],
  ['inverted header match', 'GET /not HTTP/1.1\r\nhost: echo.example'],
  ['inverted header match, present', 'GET /not HTTP/1.1\r\nhost: echo.example\r\nx-block: 1'],
  ['redirect [TM-10]', 'GET /redirect/a?b=c HTTP/1.1\r\nhost: echo.example'],
  ['https redirect without query', 'GET /https/a?b=c HTTP/1.1\r\nhost: echo.example:8080'],
  ['direct response [TM-11]', 'GET /direct HTTP/1.1\r\nhost: echo.example'],
  ['dead cluster [UF]', 'GET /dead HTTP/1.1\r\nhost: echo.example'],
  ['cluster without endpoints [UH]', 'GET /empty HTTP/1.1\r\nhost: echo.example'],
  ['unknown cluster [NC]', 'GET /missing HTTP/1.1\r\nhost: echo.example'],
  ['abort fault [TM-18]', 'GET /abort HTTP/1.1\r\nhost: echo.example'],
  ['status passed on', 'GET /status/404 HTTP/1.1\r\nhost: echo.example'],
  ['status retried and passed on', 'GET /status/503 HTTP/1.1\r\nhost: echo.example'],
  ['no content', 'GET /status/204 HTTP/1.1\r\nhost: echo.example'],
  ['HEAD', 'HEAD /exact HTTP/1.1\r\nhost: echo.example'],
  [
    'header mutations [TM-13]',
    'GET /mutate HTTP/1.1\r\nhost: echo.example\r\nx-set: old\r\nx-add: one\r\nx-remove: x\r\nx-if-absent: theirs',
  ],
  ['wildcard host [TM-07]', 'GET /exact HTTP/1.1\r\nhost: a.b.echo.example'],
  ['host in capitals', 'GET /exact HTTP/1.1\r\nhost: ECHO.example'],
  ['prefix host', 'GET /x HTTP/1.1\r\nhost: fallback.anything'],
  ['unknown host [NR]', 'GET /exact HTTP/1.1\r\nhost: unknown.example'],
  ['dot segments [TM-28]', 'GET /prefix/../exact HTTP/1.1\r\nhost: echo.example'],
  ['encoded dots', 'GET /prefix/%2e%2e/exact HTTP/1.1\r\nhost: echo.example'],
  ['double slashes', 'GET //exact HTTP/1.1\r\nhost: echo.example'],
  ['absolute form', 'GET http://echo.example/exact HTTP/1.1\r\nhost: other.example'],
  [
    'gRPC without a route',
    'POST /none HTTP/1.1\r\nhost: echo.example\r\ncontent-type: application/grpc\r\ncontent-length: 0',
  ],
  [
    'gRPC to a cluster without endpoints [TM-06]',
    'POST /empty/x HTTP/1.1\r\nhost: echo.example\r\ncontent-type: application/grpc\r\ncontent-length: 0',
  ],
  [
    'hop-by-hop headers',
    'GET /exact HTTP/1.1\r\nhost: echo.example\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nproxy-connection: keep-alive\r\nte: trailers, deflate',
  ],
  [
    'forged internal headers',
    'GET /exact HTTP/1.1\r\nhost: echo.example\r\nx-forwarded-for: 1.2.3.4\r\nx-forwarded-proto: https',
  ],
  [
    'both framings [PR-15]',
    'POST /exact HTTP/1.1\r\nhost: echo.example\r\ncontent-length: 3\r\ntransfer-encoding: chunked',
  ],
  ['HTTP/1.0 [PR-04]', 'GET /exact HTTP/1.0\r\nhost: echo.example'],
  ['no host', 'GET /exact HTTP/1.1'],
  ['two hosts', 'GET /exact HTTP/1.1\r\nhost: echo.example\r\nhost: b'],
  ['blank before the colon', 'GET /exact HTTP/1.1\r\nhost: echo.example\r\nx : y'],
];

/** Headers that differ by nature, in answers and in what the app saw. */
const OWN = /^(date|x-request-id|x-envoy-upstream-service-time|server|host)$/;

/**
 * Where Weft knowingly answers otherwise than this Envoy, each with its reason: the row's name → what is left out of
 * the comparison.
 */
const DIFFERS = new Map<string, string>([
  ['hop-by-hop headers', 'RFC 9110 §10.1.4: te goes with connection: te'],
  ['no host', 'the codec refuses it, as any malformed head; Envoy a step later, without a body'],
  ['HTTP/1.0 [PR-04]', 'RFC 9110 §15.5.22: 426 names the protocol in upgrade'],
]);
/** Rows whose status differs: ours, theirs, and why. */
const OTHER_STATUS = new Map<string, readonly [string, string, string]>([
  [
    'two hosts',
    ['400', '404', 'RFC 9112 §3.2: more than one Host is 400; Envoy joins them with a comma'],
  ],
]);

interface Answer {
  readonly status: string;
  readonly headers: readonly string[];
  readonly body: unknown;
}

function parse(text: string): Answer {
  const end = text.indexOf('\r\n\r\n');
  const [status = '', ...lines] = text.slice(0, end < 0 ? text.length : end).split('\r\n');
  const headers = lines
    .map((line) => line.replace(/^[^:]+/, (name) => name.toLowerCase()))
    .filter(
      (line) => !OWN.test(line.split(':')[0]!) && !/^(connection|transfer-encoding):/.test(line),
    )
    .sort();
  let body = end < 0 ? '' : text.slice(end + 4);
  const chunked = /^([0-9a-f]+)\r\n([\s\S]*)\r\n0\r\n\r\n$/i.exec(body);
  if (chunked !== null) body = chunked[2]!;
  let seen: unknown = body;
  try {
    const { method, url, rawHeaders, bodyBytes } = JSON.parse(body) as {
      method: string;
      url: string;
      rawHeaders: string[];
      bodyBytes: number;
    };
    const pairs: string[] = [];
    for (let at = 0; at < rawHeaders.length; at += 2) {
      const name = rawHeaders[at]!.toLowerCase();
      if (!OWN.test(name)) pairs.push(`${name}: ${rawHeaders[at + 1]}`);
      if (name === 'host') pairs.push(`host: ${rawHeaders[at + 1]}`);
    }
    seen = { method, url, headers: pairs.sort(), bodyBytes };
  } catch {
    // Not the echo app's answer: compared as text.
  }
  return { status: status.replace(/^HTTP\/1\.1 (\d+).*$/, '$1'), headers, body: seen };
}

t.test('Envoy and Weft answer alike', { skip: noEnvoy() }, async (t) => {
  const app = await echoApp();
  const [weftPort, envoyPort, envoyAdmin, deadPort] = await freePorts(4);
  const proxy = await staticProxy(resources(weftPort!, app, deadPort!));
  const directory = mkdtempSync(join(tmpdir(), 'weft-envoy-'));
  const file = join(directory, 'envoy.json');
  writeFileSync(
    file,
    JSON.stringify({
      node: { id: 'test', cluster: 'test' },
      admin: { address: socketAddress(envoyAdmin!) },
      static_resources: resources(envoyPort!, app, deadPort!),
    }),
  );
  let envoyLog = '';
  const envoy = spawn(
    findEnvoy(),
    ['-c', file, '--concurrency', '1', '--use-dynamic-base-id', '-l', 'warn'],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  for (const stream of [envoy.stdout, envoy.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      envoyLog += text;
    });
  }
  t.teardown(async () => {
    envoy.kill('SIGKILL');
    await proxy.stop();
    await app.close();
    rmSync(directory, { recursive: true, force: true });
  });
  await until(
    'Envoy to be live',
    async () => {
      if (envoy.exitCode !== null) throw new Error(`Envoy ended: ${envoyLog}`);
      const response = await fetch(`http://127.0.0.1:${envoyAdmin}/ready`).catch(() => undefined);
      return response?.status === 200;
    },
    60_000,
  );

  // All at once: a proxy that closes after a local reply lingers for a second.
  const answers = await Promise.all(
    REQUESTS.map(async ([name, request]) => {
      const closing = request.includes('connection:')
        ? request.replace('connection: ', 'connection: close, ')
        : `${request}\r\nconnection: close`;
      const [ours, theirs] = await Promise.all(
        [weftPort, envoyPort].map(async (port) =>
          parse((await rawExchange(port!, `${closing}\r\n\r\n`)).text),
        ),
      );
      return { name, ours, theirs };
    }),
  );
  for (const { name, ours, theirs } of answers) {
    const status = OTHER_STATUS.get(name);
    if (status !== undefined) {
      t.same([ours!.status, theirs!.status], status.slice(0, 2), `${name} (${status[2]})`);
      continue;
    }
    const reason = DIFFERS.get(name);
    if (reason !== undefined) t.equal(ours!.status, theirs!.status, `${name} (but for: ${reason})`);
    else t.same(normalise(ours!), normalise(theirs!), name);
  }

  /** Ports of the two listeners, and milliseconds that have passed since the request began. */
  function normalise(answer: Answer): unknown {
    return JSON.parse(
      JSON.stringify(answer)
        .replace(/(x-envoy-expected-rq-timeout-ms: )1[45]\d{3}/, '$1N')
        .replaceAll(String(weftPort), 'PORT')
        .replaceAll(String(envoyPort), 'PORT'),
    );
  }
});
