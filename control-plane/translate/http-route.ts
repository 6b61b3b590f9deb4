import { duration } from '../../proto/duration.ts';
import {
  type DeepPartial,
  type RedirectAction,
  RedirectAction_RedirectResponseCode,
  type Route,
  type RouteAction,
  type RouteMatch,
} from '../../proto/gen/envoy/config/route/v3/route_components.ts';
import { parseDurationMs } from '../kinds/duration.ts';
import type {
  HTTPDirectResponse,
  HTTPMatchRequest,
  HTTPRedirect,
  HTTPRoute,
  HTTPRouteDestination,
} from '../kinds/virtual-service.ts';
import type { MeshVirtualService } from '../mesh/virtual-service-index.ts';
import { selects } from '../registry/service-entries.ts';
import { faultConfig } from './fault-injection.ts';
import { authorityOf, headerMutations } from './header-operations.ts';
import { hostAndPort } from './names.ts';
import type { ProxyView } from './proxy-view.ts';
import { retryPolicy } from './retry-policy.ts';
import { ANY_PATH, isCatchAll, routeMatch } from './route-match.ts';

/** What the rules of one virtual host are translated for. */
export interface RouteTarget {
  readonly proxy: Pick<ProxyView, 'namespace' | 'labels'>;
  /** The host and port that were called. */
  readonly host: string;
  readonly port: number;
  /** Name of the cluster of a destination, decided where services are known. */
  readonly clusterOf: (destination: HTTPRouteDestination['destination']) => string;
}

/**
 * The rules of a VirtualService as the routes of one host and port, in their order (TM-01): one route for each match,
 * as Envoy has no OR. Rules for other callers are left out (TM-05); so is what stands behind a rule that takes all.
 */
export function virtualServiceRoutes(
  virtualService: MeshVirtualService,
  target: RouteTarget,
): DeepPartial<Route>[] {
  const routes: DeepPartial<Route>[] = [];
  for (const rule of virtualService.http) {
    if (rule.match.length === 0) {
      routes.push(route(rule, rule.name ?? '', ANY_PATH, virtualService, target));
      return routes;
    }
    for (const match of rule.match) {
      if (!holdsForCaller(match, target)) continue;
      const name = [rule.name, match.name].filter((part) => part !== undefined).join('.');
      const translated = routeMatch(match);
      routes.push(route(rule, name, translated, virtualService, target));
      if (isCatchAll(translated)) return routes;
    }
  }
  return routes;
}

/** Everything to one cluster, with the mesh's defaults: what a host without VirtualService gets. */
export function defaultRoute(cluster: string, host: string, port: number): DeepPartial<Route> {
  return {
    name: 'default',
    match: ANY_PATH,
    action: {
      $case: 'route',
      value: {
        clusterSpecifier: { $case: 'cluster', value: cluster },
        ...timeouts(0),
        retryPolicy: DEFAULT_RETRY,
      },
    },
    decorator: { operation: `${hostAndPort(host, port)}/*` },
  };
}

const DEFAULT_RETRY = retryPolicy(undefined)!;

/**
 * As Istio: without a limit (TM-17; said aloud, because Envoy's default is 15 s) a gRPC call has the one that its client
 * wrote into `grpc-timeout`, from its head on and also while it streams (PR-07); beside a limit it has the shorter of both.
 */
export function timeouts(
  timeoutMs: number,
): Pick<DeepPartial<RouteAction>, 'timeout' | 'maxStreamDuration' | 'maxGrpcTimeout'> {
  const timeout = duration(timeoutMs);
  return timeoutMs === 0
    ? { timeout, maxStreamDuration: { maxStreamDuration: timeout, grpcTimeoutHeaderMax: timeout } }
    : { timeout, maxGrpcTimeout: timeout };
}

function holdsForCaller(match: HTTPMatchRequest, { proxy, port }: RouteTarget): boolean {
  return (
    (match.port === undefined || match.port === port) &&
    (match.sourceNamespace === undefined || match.sourceNamespace === proxy.namespace) &&
    selects(match.sourceLabels, proxy.labels)
  );
}

function route(
  rule: HTTPRoute,
  name: string,
  match: DeepPartial<RouteMatch>,
  { resource }: MeshVirtualService,
  target: RouteTarget,
): DeepPartial<Route> {
  const { namespace, name: policy } = resource.metadata;
  return {
    name,
    match,
    action: action(rule, target),
    ...headerMutations(rule.headers),
    metadata: {
      filterMetadata: new Map([
        [
          'istio',
          {
            config: `/apis/networking.istio.io/v1/namespaces/${namespace}/virtual-service/${policy}`,
          },
        ],
      ]),
    },
    decorator: { operation: `${hostAndPort(target.host, target.port)}/*` },
    ...(rule.fault !== undefined && { typedPerFilterConfig: new Map(faultConfig(rule.fault)) }),
  };
}

function action(rule: HTTPRoute, target: RouteTarget): DeepPartial<NonNullable<Route['action']>> {
  if (rule.redirect !== undefined) {
    return { $case: 'redirect', value: redirect(rule.redirect, target.port) };
  }
  if (rule.directResponse !== undefined) {
    return { $case: 'directResponse', value: directResponse(rule.directResponse) };
  }
  return { $case: 'route', value: routeAction(rule, target) };
}

function routeAction(rule: HTTPRoute, target: RouteTarget): DeepPartial<RouteAction> {
  const { rewrite } = rule;
  const authority = rewrite?.authority ?? authorityOf(rule.headers);
  // TM-18: a route with a fault loses its timeout and its retries, as in Istio.
  const timeoutMs =
    rule.timeout === undefined || rule.fault !== undefined
      ? 0
      : (parseDurationMs(rule.timeout) ?? 0);
  const retries = rule.fault === undefined ? retryPolicy(rule.retries) : null;
  return {
    ...clusters(rule.route, target, authority),
    ...timeouts(timeoutMs),
    ...(retries !== null && { retryPolicy: retries }),
    ...(rewrite?.uri !== undefined && { prefixRewrite: rewrite.uri }),
    ...(rewrite?.uriRegexRewrite !== undefined && {
      regexRewrite: {
        pattern: { regex: rewrite.uriRegexRewrite.match },
        substitution: rewrite.uriRegexRewrite.rewrite,
      },
    }),
  };
}

/** One cluster, or several by weight (TM-08); those of weight 0 get nothing and are left out. */
function clusters(
  destinations: readonly HTTPRouteDestination[],
  target: RouteTarget,
  authority: string,
): DeepPartial<RouteAction> {
  const taking =
    destinations.length === 1 ? destinations : destinations.filter(({ weight }) => weight > 0);
  const [only] = taking;
  const ofDestination = taking.length === 1 ? authorityOf(only!.headers) : '';
  const host = ofDestination || authority;
  const hostRewrite =
    host === ''
      ? {}
      : { hostRewriteSpecifier: { $case: 'hostRewriteLiteral' as const, value: host } };
  if (taking.length === 1 && only!.headers === undefined) {
    return {
      ...hostRewrite,
      clusterSpecifier: { $case: 'cluster', value: target.clusterOf(only!.destination) },
    };
  }
  return {
    ...hostRewrite,
    clusterSpecifier: {
      $case: 'weightedClusters',
      value: {
        clusters: taking.map(({ destination, weight, headers }) => {
          const own = taking.length === 1 ? '' : authorityOf(headers);
          return {
            name: target.clusterOf(destination),
            weight: taking.length === 1 ? 100 : weight,
            ...headerMutations(headers),
            ...(own !== '' && {
              hostRewriteSpecifier: { $case: 'hostRewriteLiteral' as const, value: own },
            }),
          };
        }),
      },
    },
  };
}

/** TM-10. */
function redirect(rule: HTTPRedirect, port: number): DeepPartial<RedirectAction> {
  const scheme = rule.scheme ?? '';
  const fixedPort =
    rule.derivePort === 'FROM_REQUEST_PORT'
      ? port
      : rule.derivePort === 'FROM_PROTOCOL_DEFAULT'
        ? scheme === 'https'
          ? 443
          : 80
        : (rule.port ?? 0);
  return {
    hostRedirect: rule.authority ?? '',
    portRedirect: fixedPort,
    ...(scheme !== '' && {
      schemeRewriteSpecifier: { $case: 'schemeRedirect', value: scheme },
    }),
    ...(rule.uri !== undefined && {
      pathRewriteSpecifier: { $case: 'pathRedirect', value: rule.uri },
    }),
    responseCode: REDIRECT_CODES.get(rule.redirectCode) ?? 0,
  };
}

const REDIRECT_CODES: ReadonlyMap<number, RedirectAction_RedirectResponseCode> = new Map([
  [301, RedirectAction_RedirectResponseCode.MOVED_PERMANENTLY],
  [302, RedirectAction_RedirectResponseCode.FOUND],
  [303, RedirectAction_RedirectResponseCode.SEE_OTHER],
  [307, RedirectAction_RedirectResponseCode.TEMPORARY_REDIRECT],
  [308, RedirectAction_RedirectResponseCode.PERMANENT_REDIRECT],
]);

/** TM-11. */
function directResponse({ status, body }: HTTPDirectResponse) {
  if (body === undefined) return { status };
  return {
    status,
    body: {
      specifier:
        body.bytes === undefined
          ? { $case: 'inlineString' as const, value: body.string ?? '' }
          : { $case: 'inlineBytes' as const, value: Buffer.from(body.bytes, 'base64') },
    },
  };
}
