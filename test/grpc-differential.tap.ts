import t from 'tap';
import { freePorts } from '../cli/run/free-port.ts';
import { noEnvoy } from './harness/envoy.ts';
import { EnvoyProcess } from './harness/envoy-process.ts';
import { grpcMessage, type RawAnswer, rawGrpcApp, rawGrpcCall } from './harness/raw-grpc.ts';
import { httpListener, ROUTER_FILTER, staticCluster, staticProxy } from './harness/static-proxy.ts';

/** One bootstrap given to Envoy and to Weft, the same gRPC calls made of both: what client and server see is the same. */

t.setTimeout(120_000);

const FAULT = 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault';
const FAULT_FILTER = { name: 'envoy.filters.http.fault', typed_config: { '@type': FAULT } };
const GRPC_WEB_FILTER = {
  name: 'envoy.filters.http.grpc_web',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb',
  },
};
function http2(common: object = {}): object {
  return {
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        common_http_protocol_options: common,
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
  };
}

/** Each under `/<name>/`. */
const ROUTES: Readonly<Record<string, object>> = {
  plain: { timeout: '5s' },
  mesh: {
    timeout: '0s',
    max_stream_duration: { max_stream_duration: '0s', grpc_timeout_header_max: '0s' },
  },
  capped: { max_stream_duration: { grpc_timeout_header_max: '2s' } },
  offset: {
    max_stream_duration: {
      grpc_timeout_header_max: '0s',
      grpc_timeout_header_offset: '0.05s',
    },
  },
  duration: { max_stream_duration: { max_stream_duration: '7s' } },
  brief: { max_stream_duration: { max_stream_duration: '0.15s' } },
  old: { timeout: '9s', max_grpc_timeout: '2s' },
  olduncapped: { timeout: '9s', max_grpc_timeout: '0s' },
  oldoffset: { timeout: '9s', max_grpc_timeout: '0s', grpc_timeout_offset: '0.05s' },
  short: { timeout: '0.15s' },
  retried: {
    timeout: '5s',
    retry_policy: {
      retry_on: 'unavailable',
      num_retries: 1,
      retry_back_off: { base_interval: '0.001s' },
    },
  },
};

function resources(port: number, appPort: number, deadPort: number): object {
  const routes: object[] = Object.entries(ROUTES).map(([name, action]) => ({
    match: { prefix: `/${name}/` },
    route: { cluster: 'app', ...action },
  }));
  for (const status of [200, 400, 401, 403, 404, 429, 500, 503, 504]) {
    routes.push({
      match: { prefix: `/direct/${status}` },
      direct_response: { status, body: { inline_string: 'said % here' } },
    });
  }
  for (const status of [0, 5, 14]) {
    routes.push({
      match: { prefix: `/fault/${status}/` },
      route: { cluster: 'app' },
      typed_per_filter_config: {
        'envoy.filters.http.fault': {
          '@type': FAULT,
          abort: { grpc_status: status, percentage: { numerator: 100 } },
        },
      },
    });
  }
  routes.push(
    { match: { prefix: '/briefcluster/' }, route: { cluster: 'brief', timeout: '5s' } },
    { match: { prefix: '/dead/' }, route: { cluster: 'dead' } },
    { match: { prefix: '/empty/' }, route: { cluster: 'empty' } },
    { match: { prefix: '/missing/' }, route: { cluster: 'missing' } },
    { match: { prefix: '/redirect/' }, redirect: { path_redirect: '/else' } },
    { match: { prefix: '/grpconly/', grpc: {} }, route: { cluster: 'app' } },
  );
  return {
    listeners: [
      httpListener(
        port,
        [{ name: 'all', domains: ['*'], include_request_attempt_count: true, routes }],
        { http_filters: [GRPC_WEB_FILTER, FAULT_FILTER, ROUTER_FILTER] },
      ),
    ],
    clusters: [
      staticCluster('app', [appPort], http2()),
      staticCluster('brief', [appPort], http2({ max_stream_duration: '0.15s' })),
      staticCluster('dead', [deadPort], http2()),
      { name: 'empty', type: 'STATIC', load_assignment: { cluster_name: 'empty' }, ...http2() },
    ],
  };
}

type Fields = Readonly<Record<string, string>>;
/** `differs`: the one field of the head that is not Envoy's, and why. */
type Row = readonly [path: string, fields: Fields, body?: Buffer, differs?: Difference];
type Difference = readonly [field: string, why: string];

const GRPC = { 'content-type': 'application/grpc', te: 'trailers' };
const MESSAGE = grpcMessage('hello');
const TEXT = Buffer.from(MESSAGE.toString('base64'));
const WEB = { 'content-type': 'application/grpc-web+proto', accept: 'application/grpc-web+proto' };
const WEB_TEXT = {
  'content-type': 'application/grpc-web-text',
  accept: 'application/grpc-web-text',
};

/** PR-07: errors that the proxy makes are 200. Envoy goes by the type that the client wrote, which is not yet gRPC's. */
const IS_GRPC: Difference = [':status', 'a gRPC-Web call is a gRPC call'];

const TIMEOUTS = ' 10S 1500m 300000u 400000000n 1H 5x 5 S 0m 5mm 99999999H 123456789m'.split(' ');

const ROWS: readonly Row[] = [
  ...['plain', 'mesh', 'capped', 'offset', 'duration', 'old', 'olduncapped', 'oldoffset'].flatMap(
    (name) =>
      TIMEOUTS.map((timeout): Row => {
        const fields = timeout === '' ? GRPC : { ...GRPC, 'grpc-timeout': timeout };
        return [`/${name}/call`, fields];
      }),
  ),
  ['/mesh/call', { 'content-type': 'application/json', 'grpc-timeout': '10S' }],
  ['/old/call', { 'content-type': 'application/json', 'grpc-timeout': '1S' }],
  ['/mesh/hang', { ...GRPC, 'grpc-timeout': '150m' }],
  ['/olduncapped/hang', { ...GRPC, 'grpc-timeout': '150m' }],
  ['/brief/hang', GRPC],
  ['/brief/hang', { 'content-type': 'text/plain' }],
  ['/briefcluster/hang', GRPC],
  ['/briefcluster/hang', { 'content-type': 'text/plain' }],
  ['/short/hang', GRPC],
  ['/plain/status/7', GRPC],
  ['/plain/late/7', GRPC],
  ['/plain/http/503', GRPC],
  ['/retried/status/14', GRPC],
  ['/retried/status/13', GRPC],
  ...[200, 400, 401, 403, 404, 429, 500, 503, 504].map(
    (status): Row => [`/direct/${status}`, GRPC],
  ),
  ...[0, 5, 14].map((status): Row => [`/fault/${status}/call`, GRPC]),
  [
    '/fault/5/call',
    { 'content-type': 'text/plain' },
    MESSAGE,
    [':status', 'who does not know gRPC is not told that all is well'],
  ],
  ['/dead/call', GRPC],
  ['/empty/call', GRPC],
  ['/missing/call', GRPC],
  ['/nothing', GRPC],
  ['/redirect/call', GRPC],
  ['/grpconly/call', GRPC],
  ['/grpconly/call', { 'content-type': 'application/json' }],
  // PR-08.
  ['/plain/call', WEB],
  ['/plain/call', { ...WEB, 'content-type': 'application/grpc-web' }],
  ['/plain/call', WEB_TEXT, TEXT],
  ['/plain/call', { ...WEB_TEXT, accept: '*/*' }, TEXT],
  ['/plain/call', { ...WEB, accept: 'application/grpc-web-text+proto' }],
  ['/plain/call', WEB_TEXT, Buffer.from('no base64!'), IS_GRPC],
  ['/plain/call', WEB_TEXT, TEXT.subarray(0, 6), IS_GRPC],
  ['/plain/status/5', WEB],
  ['/plain/status/5', WEB_TEXT, TEXT],
  ['/plain/late/5', WEB],
  ['/plain/late/5', WEB_TEXT, TEXT],
  ['/dead/call', WEB, MESSAGE, IS_GRPC],
  ['/plain/http/503', WEB, MESSAGE, ['grpc-message', 'nothing waits for the body']],
  ['/direct/403', WEB_TEXT, TEXT, IS_GRPC],
  ['/plain/call', { 'content-type': 'application/grpc-web+thrift' }],
];

/** Fields of the one or the other proxy alone, or of the moment. */
const OWN =
  /^(date|server|x-request-id|x-envoy-upstream-service-time|x-forwarded-proto|host|traceparent|content-length|:authority)$/;

t.test(
  '[PR-07] [PR-08] [TM-06] Envoy and Weft treat gRPC alike',
  { skip: noEnvoy() },
  async (t) => {
    const app = await rawGrpcApp();
    t.teardown(() => app.close());
    const [weftPort, envoyPort, deadPort] = await freePorts(3);
    const proxy = await staticProxy(resources(weftPort!, app.port, deadPort!));
    const envoy = new EnvoyProcess(() => ({
      bootstrap: {
        node: { id: 'test', cluster: 'test' },
        static_resources: resources(envoyPort!, app.port, deadPort!),
      },
    }));
    t.teardown(async () => {
      await Promise.all([proxy.stop(), envoy.stop()]);
      app.close();
    });
    await envoy.untilLive();

    for (const [path, fields, body = MESSAGE, differs] of ROWS) {
      const name = [path, ...Object.entries(fields).map((field) => field.join(': '))].join(' ');
      const [ours, theirs] = await Promise.all(
        [weftPort!, envoyPort!].map((port) => rawGrpcCall(port, path, fields, body)),
      );
      if (differs !== undefined) {
        const [field, why] = differs;
        t.not(ours!.headers[field], theirs!.headers[field], `${name} (${why})`);
        delete ours!.headers[field];
        delete theirs!.headers[field];
      }
      t.same(readable(ours!), readable(theirs!), name);
    }
  },
);

function readable({ headers, trailers, body, reset }: RawAnswer): unknown {
  return { headers: fieldsOf(headers), trailers: fieldsOf(trailers), body: seen(body), reset };
}

/** What the server saw, where it answered at all; else the bytes. */
function seen(body: Buffer): unknown {
  const text = body.toString('latin1');
  const plain = /^[A-Za-z0-9+/=]+$/.test(text)
    ? (text.match(/.{1,4}/g) ?? []).map((group) => atob(group)).join('')
    : text;
  const json = /^.*?(\{"headers":.*\})([^}]*)$/s.exec(plain);
  if (json === null) return plain;
  const { headers, body: asked } = JSON.parse(json[1]!) as { headers: Fields; body: string };
  return { headers: fieldsOf(headers), asked, end: json[2] };
}

function fieldsOf(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(fields)
      .filter(([name]) => !OWN.test(name))
      .map(([name, value]) => [name, String(value).replace(/127\.0\.0\.1:\d+/, 'HOST')])
      .sort(([a], [b]) => (a! < b! ? -1 : 1)),
  );
}
