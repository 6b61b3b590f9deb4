import { packAny } from '../../proto/any.ts';
import { duration } from '../../proto/duration.ts';
import type {
  DeepPartial,
  Filter,
} from '../../proto/gen/envoy/config/listener/v3/listener_components.ts';
import type { RouteConfiguration } from '../../proto/gen/envoy/config/route/v3/route.ts';
import { HTTPFault } from '../../proto/gen/envoy/extensions/filters/http/fault/v3/fault.ts';
import { GrpcWeb } from '../../proto/gen/envoy/extensions/filters/http/grpc_web/v3/grpc_web.ts';
import { Router } from '../../proto/gen/envoy/extensions/filters/http/router/v3/router.ts';
import {
  HttpConnectionManager,
  HttpConnectionManager_CodecType,
  HttpConnectionManager_ForwardClientCertDetails,
  HttpConnectionManager_ServerHeaderTransformation,
  type HttpFilter,
} from '../../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts';
import { TcpProxy } from '../../proto/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.ts';
import {
  TYPE_FAULT,
  TYPE_GRPC_WEB,
  TYPE_HTTP_CONNECTION_MANAGER,
  TYPE_ROUTER,
  TYPE_TCP_PROXY,
} from '../../proto/type-urls.ts';
import type { MeshOptions } from '../mesh/mesh-options.ts';
import { accessLogs } from './access-log.ts';
import { FROM_ADS } from './config-source.ts';
import { FAULT_FILTER } from './fault-injection.ts';

/** PR-17: what mesh users look for in the `server` header. */
const SERVER_NAME = 'istio-envoy';

export const ROUTER: DeepPartial<HttpFilter> = {
  name: 'envoy.filters.http.router',
  configType: { $case: 'typedConfig', value: packAny(TYPE_ROUTER, Router.create()) },
};

/** Does nothing by itself: the routes say what it injects (TM-18). */
export const FAULT: DeepPartial<HttpFilter> = {
  name: FAULT_FILTER,
  configType: { $case: 'typedConfig', value: packAny(TYPE_FAULT, HTTPFault.create()) },
};

/** As in Istio it stands first, on ports of services that say `grpc-web` (PR-01, PR-08), and lets all else pass. */
const GRPC_WEB: DeepPartial<HttpFilter> = {
  name: 'envoy.filters.http.grpc_web',
  configType: { $case: 'typedConfig', value: packAny(TYPE_GRPC_WEB, GrpcWeb.create()) },
};

/** The client's side: routes come by name over the stream. `grpcWeb`: a service behind it may be asked in gRPC-Web. */
export function outboundConnectionManager(
  statPrefix: string,
  routeConfigName: string,
  grpcWeb: boolean,
  options: MeshOptions,
): DeepPartial<Filter> {
  return connectionManager({
    ...COMMON,
    statPrefix,
    routeSpecifier: { $case: 'rds', value: { configSource: FROM_ADS, routeConfigName } },
    httpFilters: grpcWeb ? [GRPC_WEB, FAULT, ROUTER] : [FAULT, ROUTER],
    accessLog: accessLogs(options),
    // What the app claims about certificates is not passed on as if the mesh had said it (A2.1).
    forwardClientCertDetails: HttpConnectionManager_ForwardClientCertDetails.SANITIZE,
  });
}

/** The server's side: one route, to the app. */
export function inboundConnectionManager(
  statPrefix: string,
  routeConfig: DeepPartial<RouteConfiguration>,
  grpcWeb: boolean,
  options: MeshOptions,
): DeepPartial<Filter> {
  return connectionManager({
    ...COMMON,
    statPrefix,
    routeSpecifier: { $case: 'routeConfig', value: routeConfig },
    httpFilters: grpcWeb ? [GRPC_WEB, ROUTER] : [ROUTER],
    accessLog: accessLogs(options),
    serverHeaderTransformation: HttpConnectionManager_ServerHeaderTransformation.PASS_THROUGH,
    // SC-17.
    forwardClientCertDetails: HttpConnectionManager_ForwardClientCertDetails.APPEND_FORWARD,
    setCurrentClientCertDetails: { subject: true, dns: true, uri: true },
  });
}

/** Bytes both ways to one cluster (PR-11). */
export function tcpProxy(
  statPrefix: string,
  cluster: string,
  options: MeshOptions,
): DeepPartial<Filter> {
  return {
    name: 'envoy.filters.network.tcp_proxy',
    configType: {
      $case: 'typedConfig',
      value: packAny(
        TYPE_TCP_PROXY,
        TcpProxy.create({
          statPrefix,
          clusterSpecifier: { $case: 'cluster', value: cluster },
          accessLog: accessLogs(options),
        }),
      ),
    },
  };
}

/** Istio's settings of every connection manager of a sidecar. */
const COMMON: DeepPartial<HttpConnectionManager> = {
  codecType: HttpConnectionManager_CodecType.AUTO,
  serverName: SERVER_NAME,
  generateRequestId: true,
  // PR-16: between sidecars x-forwarded-for is left alone.
  useRemoteAddress: false,
  // TM-28: BASE.
  normalizePath: true,
  // RS-11: streams may be idle for as long as they like.
  streamIdleTimeout: duration(0),
  // PR-09.
  upgradeConfigs: [{ upgradeType: 'websocket' }],
  // RFC 8441: the same over HTTP/2.
  http2ProtocolOptions: { allowConnect: true },
};

function connectionManager(message: DeepPartial<HttpConnectionManager>): DeepPartial<Filter> {
  return {
    name: 'envoy.filters.network.http_connection_manager',
    configType: {
      $case: 'typedConfig',
      value: packAny(TYPE_HTTP_CONNECTION_MANAGER, HttpConnectionManager.create(message)),
    },
  };
}
