import { expect, test } from 'vitest';
import { unpackAny, unpackAs } from '../../proto/any.ts';
import type { FilterChain } from '../../proto/gen/envoy/config/listener/v3/listener_components.ts';
import { BOOKINFO, testMesh } from '../mesh/mesh.testing.ts';
import type { Protocol } from '../registry/protocol.ts';
import { inboundHttpOptions } from './clusters.ts';
import { testProxy, translated } from './proxy.testing.ts';

function mode(name: string): string {
  return `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: ${name}}}
`;
}

function withPort(protocol: Protocol) {
  const [port] = testProxy().ports;
  return testProxy({ ports: [{ ...port!, protocol }] });
}

function managerOf(chain: FilterChain | undefined) {
  const config = chain?.filters[0]?.configType;
  if (config?.$case !== 'typedConfig') throw new Error('no filter');
  const unpacked = unpackAs(
    'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    config.value,
  );
  return unpacked.ok ? unpacked.message : null;
}

/** `mtls-http tls[istio-http/1.1]` */
function chains(yaml: string, protocol: Protocol): string[] {
  const listener = translated(testMesh(yaml), withPort(protocol)).listener('inbound_31000');
  return listener!.filterChains.map((chain) => {
    const match = chain.filterChainMatch;
    const kind = managerOf(chain) === null ? 'tcp' : 'http';
    const tls = chain.transportSocket === undefined ? 'plain' : 'mutual';
    return `${match?.transportProtocol || 'any'}[${match?.applicationProtocols.join()}] ${tls} ${kind}`;
  });
}

const MESH = 'weft-h2,istio-h2,istio-http/1.1,istio-http/1.0,istio-peer-exchange,istio';
const MESH_HTTP = 'weft-h2,istio-h2,istio-http/1.1,istio-http/1.0';
const PLAIN = 'http/1.0,http/1.1,h2c';

test.each<[string, Protocol, string[]]>([
  [
    'PERMISSIVE',
    'http',
    [`tls[${MESH}] mutual http`, 'raw_buffer[] plain http', 'tls[] plain tcp'],
  ],
  ['STRICT', 'http', ['tls[] mutual http']],
  ['STRICT', 'grpc-web', ['tls[] mutual http']],
  ['DISABLE', 'http', ['any[] plain http']],
  ['PERMISSIVE', 'tcp', [`tls[${MESH}] mutual tcp`, 'raw_buffer[] plain tcp', 'tls[] plain tcp']],
  ['STRICT', 'tcp', ['tls[] mutual tcp']],
  ['DISABLE', 'tcp', ['any[] plain tcp']],
  [
    'PERMISSIVE',
    'detect',
    [
      `tls[${MESH_HTTP}] mutual http`,
      'tls[istio-peer-exchange,istio] mutual tcp',
      `raw_buffer[${PLAIN}] plain http`,
      'raw_buffer[] plain tcp',
      'tls[] plain tcp',
    ],
  ],
  ['STRICT', 'detect', [`tls[${MESH_HTTP}] mutual http`, 'tls[] mutual tcp']],
  ['DISABLE', 'detect', [`any[${PLAIN}] plain http`, 'any[] plain tcp']],
])('[SC-02] %s on a port of protocol %s', (name, protocol, expected) => {
  expect(chains(mode(name), protocol)).toEqual(expected);
});

test('[PR-01] [PR-08] inbound: a port of gRPC-Web translates it, and its app is asked in HTTP/2', () => {
  const filters = (protocol: Protocol) =>
    managerOf(
      translated(testMesh(), withPort(protocol)).listener('inbound_31000')?.filterChains[0],
    )?.httpFilters.map(({ name }) => name);
  expect(filters('grpc-web')).toEqual(['envoy.filters.http.grpc_web', 'envoy.filters.http.router']);
  expect(filters('http2')).toEqual(['envoy.filters.http.router']);
  expect(inboundHttpOptions('grpc-web')).toBe(inboundHttpOptions('http2'));
});

test('[SC-02] without a policy a port is PERMISSIVE', () => {
  expect(chains('', 'http')).toEqual(chains(mode('PERMISSIVE'), 'http'));
});

test('the listener of HTTP_PROXY takes its routes by name and is marked as such', () => {
  const { listener, listeners } = translated(testMesh());
  expect(listeners).toEqual(['virtualOutbound', 'inbound_31000']);
  const outbound = listener('virtualOutbound')!;
  expect(outbound.metadata?.filterMetadata.get('weft')).toEqual({ explicit_proxy: true });
  expect(outbound.address?.address).toMatchObject({
    value: { address: '127.0.0.1', portSpecifier: { value: 15_001 } },
  });
  const manager = managerOf(outbound.filterChains[0]);
  expect(manager).toMatchObject({
    routeSpecifier: { $case: 'rds', value: { routeConfigName: 'http_proxy' } },
    serverName: 'istio-envoy',
    serverHeaderTransformation: 0,
    forwardClientCertDetails: 0,
    normalizePath: true,
    streamIdleTimeout: { seconds: 0 },
    upgradeConfigs: [{ upgradeType: 'websocket' }],
    accessLog: [],
  });
  expect(manager?.httpFilters.map(({ name }) => name)).toEqual([
    'envoy.filters.http.fault',
    'envoy.filters.http.router',
  ]);
});

test('[SC-17][PR-17][RS-09] inbound: the caller is told to the app, the app keeps its server header', () => {
  const chain = translated(testMesh()).listener('inbound_31000')?.filterChains[0];
  expect(managerOf(chain)).toMatchObject({
    forwardClientCertDetails: 2,
    setCurrentClientCertDetails: { subject: true, dns: true, uri: true },
    serverHeaderTransformation: 2,
    routeSpecifier: {
      $case: 'routeConfig',
      value: {
        name: 'inbound|9080||',
        virtualHosts: [
          {
            domains: ['*'],
            routes: [
              {
                action: {
                  value: {
                    clusterSpecifier: { value: 'inbound|9080||' },
                    timeout: { seconds: 0 },
                    retryPolicy: { retryOn: 'reset-before-request', numRetries: 2 },
                  },
                },
              },
            ],
          },
        ],
      },
    },
  });
});

test('[SC-03][SC-18] mesh TLS asks for a client certificate of the own trust domain', () => {
  const snapshot = testMesh(mode('STRICT'), BOOKINFO, { trustDomain: 'corp' });
  const chain = translated(snapshot).listener('inbound_31000')?.filterChains[0];
  const socket = chain?.transportSocket?.configType;
  const unpacked = unpackAny(socket!.value);
  expect(unpacked).toMatchObject({
    message: {
      requireClientCertificate: true,
      commonTlsContext: {
        tlsParams: { tlsMinimumProtocolVersion: 3 },
        validationContextType: {
          value: {
            defaultValidationContext: {
              matchTypedSubjectAltNames: [
                { matcher: { matchPattern: { $case: 'prefix', value: 'spiffe://corp/' } } },
              ],
            },
          },
        },
      },
    },
  });
});

test('[OB-07] the access log is off, or one line of Istio’s fields, or JSON', () => {
  const first = (accessLogEncoding: 'TEXT' | 'JSON') => {
    const snapshot = testMesh('', BOOKINFO, { accessLogFile: '/dev/stdout', accessLogEncoding });
    const chain = translated(snapshot).listener('virtualOutbound')?.filterChains[0];
    const config = managerOf(chain)?.accessLog[0]?.configType;
    return unpackAny(config!.value);
  };
  const text =
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n';
  expect(first('TEXT')).toMatchObject({
    message: {
      path: '/dev/stdout',
      accessLogFormat: { value: { format: { value: { specifier: { value: text } } } } },
    },
  });
  expect(first('JSON')).toMatchObject({
    message: {
      accessLogFormat: { value: { format: { value: { response_code: '%RESPONSE_CODE%' } } } },
    },
  });
});

test('a client without ports has the outbound listener alone', () => {
  const proxy = testProxy({ ports: [], host: '' });
  expect(translated(testMesh(), proxy).listeners).toEqual(['virtualOutbound']);
});

test('[PR-05] what TLS may agree on: of an Envoy only names that tell its connection manager the version', () => {
  const alpnOf = (kind: 'weft' | 'envoy') => {
    const proxy = testProxy({ ...withPort('http2'), kind, secrets: 'static' });
    const listener = translated(testMesh(mode('STRICT')), proxy).listener('inbound_31000');
    const socket = listener!.filterChains[0]!.transportSocket?.configType;
    if (socket?.$case !== 'typedConfig') throw new Error('no TLS');
    const context = unpackAs(
      'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
      socket.value,
    );
    if (!context.ok) throw new Error('no TLS');
    return context.message.commonTlsContext?.alpnProtocols;
  };
  expect(alpnOf('envoy')).toEqual(['h2', 'http/1.1']);
  expect(alpnOf('weft')).toEqual([
    ...['weft-h2', 'istio-h2', 'istio-http/1.1', 'istio-http/1.0', 'istio-peer-exchange', 'istio'],
    ...['h2', 'http/1.1'],
  ]);
});
