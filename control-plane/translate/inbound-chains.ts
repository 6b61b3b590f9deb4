import type {
  DeepPartial,
  Filter,
  FilterChain,
} from '../../proto/gen/envoy/config/listener/v3/listener_components.ts';
import type { MeshOptions } from '../mesh/mesh-options.ts';
import type { EffectiveMutualTLSMode } from '../mesh/peer-authentication-index.ts';
import { isHttp, isHttp2, type Protocol } from '../registry/protocol.ts';
import { inboundConnectionManager, tcpProxy } from './connection-manager.ts';
import { defaultRoute } from './http-route.ts';
import { downstreamMeshTls } from './mesh-tls.ts';
import {
  inboundName,
  MESH_HTTP_ALPNS,
  MESH_TCP_ALPNS,
  PLAIN_HTTP_ALPNS,
  SHARED_HTTP2_ALPN,
} from './names.ts';
import type { ProxyView } from './proxy-view.ts';
import { INBOUND_RETRY } from './retry-policy.ts';

/** What the chains of one inbound port are made for. */
export interface InboundPort {
  readonly number: number;
  readonly protocol: Protocol;
  readonly mode: EffectiveMutualTLSMode;
  /** FQDN of the service, for the decorator; '' if unknown. */
  readonly host: string;
  readonly proxy: Pick<ProxyView, 'kind' | 'secrets'>;
  readonly options: MeshOptions;
}

/**
 * The filter chains of a port by its PeerAuthentication mode (SC-02):
 *
 *     mode        mesh TLS      plain text      the app's own TLS
 *     STRICT      yes           closed          closed
 *     PERMISSIVE  yes           yes             passed through
 *     DISABLE     no            yes             passed through (opaque ports)
 *
 * Mesh TLS is told from the app's by the ALPN of the ClientHello. On a port that does not say its protocol, HTTP is
 * told from opaque bytes by the ALPN inside mesh TLS and by the first bytes of plain text (PR-02).
 */
export function inboundChains(port: InboundPort): DeepPartial<FilterChain>[] {
  const takesTls = port.mode !== 'DISABLE' && port.proxy.secrets !== 'none';
  const http = isHttp(port.protocol) ? httpFilter(port) : null;
  const opaque = port.protocol === 'http' || isHttp2(port.protocol) ? null : opaqueFilter(port);
  if (!takesTls) {
    if (http === null) return [chain('plain-tcp', {}, opaque!)];
    if (opaque === null) return [chain('plain-http', {}, http)];
    return [
      chain('plain-http', { applicationProtocols: [...PLAIN_HTTP_ALPNS] }, http),
      chain('plain-tcp', {}, opaque),
    ];
  }
  const chains: DeepPartial<FilterChain>[] = [];
  const strict = port.mode === 'STRICT';
  const httpAlpns = meshHttpAlpns(port.proxy.kind);
  const allMeshAlpns = [...httpAlpns, ...MESH_TCP_ALPNS];
  if (http !== null && opaque !== null) {
    chains.push(meshChain('mtls-http', httpAlpns, http, port));
    chains.push(meshChain('mtls-tcp', strict ? [] : MESH_TCP_ALPNS, opaque, port));
  } else {
    const name = http === null ? 'mtls-tcp' : 'mtls-http';
    chains.push(meshChain(name, strict ? [] : allMeshAlpns, (http ?? opaque)!, port));
  }
  if (strict) return chains;
  // Envoy does not go back from `tls` to a chain without transport protocol: each is said by name.
  if (http !== null && opaque !== null) {
    chains.push(
      chain(
        'plain-http',
        { transportProtocol: 'raw_buffer', applicationProtocols: [...PLAIN_HTTP_ALPNS] },
        http,
      ),
      chain('plain-tcp', { transportProtocol: 'raw_buffer' }, opaque),
    );
  } else {
    const name = http === null ? 'plain-tcp' : 'plain-http';
    chains.push(chain(name, { transportProtocol: 'raw_buffer' }, (http ?? opaque)!));
  }
  chains.push(chain('app-tls', { transportProtocol: 'tls' }, opaque ?? opaqueFilter(port)));
  return chains;
}

/** Whether the chains ask for the ClientHello, and for the first bytes of plain text. */
export function inspection(port: Pick<InboundPort, 'mode' | 'protocol' | 'proxy'>): {
  readonly tls: boolean;
  readonly http: boolean;
} {
  return {
    tls: port.mode !== 'DISABLE' && port.proxy.secrets !== 'none',
    http: port.protocol === 'detect',
  };
}

function chain(
  name: string,
  filterChainMatch: NonNullable<DeepPartial<FilterChain>['filterChainMatch']>,
  filter: DeepPartial<Filter>,
): DeepPartial<FilterChain> {
  return { name, filterChainMatch, filters: [filter] };
}

function meshChain(
  name: string,
  applicationProtocols: readonly string[],
  filter: DeepPartial<Filter>,
  { proxy, options }: InboundPort,
): DeepPartial<FilterChain> {
  // What may be negotiated, in our order of preference. Envoy's connection manager knows only the registered names
  // and takes HTTP/1.1 for what is agreed by any other: where none is, it looks at the preface.
  const registered = ['h2', 'http/1.1'];
  const alpn =
    proxy.kind === 'weft'
      ? [...meshHttpAlpns(proxy.kind), ...MESH_TCP_ALPNS, ...registered]
      : registered;
  return {
    ...chain(
      name,
      { transportProtocol: 'tls', applicationProtocols: [...applicationProtocols] },
      filter,
    ),
    transportSocket: downstreamMeshTls(proxy.secrets, alpn, options.trustDomain),
  };
}

/** PR-06: only our own sidecar knows what it means that HTTP/1.1 is carried over HTTP/2. */
function meshHttpAlpns(kind: ProxyView['kind']): readonly string[] {
  return kind === 'weft' ? [SHARED_HTTP2_ALPN, ...MESH_HTTP_ALPNS] : MESH_HTTP_ALPNS;
}

function httpFilter({ number, protocol, host, options }: InboundPort): DeepPartial<Filter> {
  const name = inboundName(number);
  const route = defaultRoute(name, host || 'localhost', number);
  if (route.action?.$case === 'route' && route.action.value !== undefined) {
    const { retryPolicy: _callers, ...action } = route.action.value;
    // gRPC servers say themselves what may be tried again.
    route.action = {
      $case: 'route',
      value: isHttp2(protocol) ? action : { ...action, retryPolicy: INBOUND_RETRY },
    };
  }
  return inboundConnectionManager(
    `inbound_${number}`,
    {
      name,
      validateClusters: false,
      virtualHosts: [{ name: `inbound|http|${number}`, domains: ['*'], routes: [route] }],
    },
    protocol === 'grpc-web',
    options,
  );
}

function opaqueFilter({ number, options }: InboundPort): DeepPartial<Filter> {
  const name = inboundName(number);
  return tcpProxy(name, name, options);
}
