import { hasHeader, removeHeader, setHeader, setOwnHeader } from '../http/header-block.ts';
import type { RequestHead, ResponseHead } from '../http/message.ts';
import type { RequestRecord } from '../observe/request-record.ts';
import { UNKNOWN_WORKLOAD } from '../observe/request-record.ts';
import type { Cluster, Endpoint } from '../upstream/upstream.ts';
import { applyMutations } from './header-mutation.ts';
import { applyPathRewrite } from './rewrite.ts';
import type { RouteActionConfig, WeightedCluster } from './route-config.ts';
import type { Route } from './route-table.ts';
import type { RouterDeps } from './router.ts';

/** What the route changes in the request, once: fields (TM-13), then path and authority (TM-12). */
export function finishRequestHead(
  head: RequestHead,
  route: Route,
  action: RouteActionConfig,
  weighted: WeightedCluster | null,
  record: RequestRecord,
): void {
  if (weighted !== null) route.clusterMutations(weighted)?.request.apply(head.headers, record);
  applyMutations(route.requestHeaders, head.headers, record);
  applyPathRewrite(head, route.entry.match.path, action);
  const hostRewrite = weighted?.hostRewrite || action.hostRewrite;
  if (hostRewrite !== '') rewriteAuthority(head, hostRewrite);
}

/** What differs from try to try: authority, attempt count, and whom we tell who we are. */
export function addressRequestHead(
  head: RequestHead,
  route: Route,
  action: RouteActionConfig,
  cluster: Cluster,
  endpoint: Endpoint,
  deps: RouterDeps,
  record: RequestRecord,
): void {
  const { headers } = head;
  if (action.autoHostRewrite && endpoint.hostname !== '') rewriteAuthority(head, endpoint.hostname);
  if (route.virtualHost.config.includeAttemptCount) {
    setHeader(headers, 'x-envoy-attempt-count', String(record.attempts));
  }
  // A connection to a sidecar that asks for it says it (PR-06), and may have for an earlier try; nobody else does.
  if (deps.direction !== 'INBOUND') removeHeader(headers, 'x-weft-orig-proto');
  if (deps.direction !== 'OUTBOUND') return;
  record.peer = endpoint.workload ?? UNKNOWN_WORKLOAD;
  if (deps.peerMetadata !== null && endpoint.workload !== null && isMeshCluster(cluster)) {
    setHeader(headers, 'x-envoy-peer-metadata-id', deps.peerMetadata.id);
    setHeader(headers, 'x-envoy-peer-metadata', deps.peerMetadata.value);
  } else {
    removeHeader(headers, 'x-envoy-peer-metadata-id');
    removeHeader(headers, 'x-envoy-peer-metadata');
  }
}

/** `serviceTimeMs`: from the end of the request on, -1 where it has not ended. */
export function finishResponseHead(
  head: ResponseHead,
  route: Route,
  weighted: WeightedCluster | null,
  serviceTimeMs: number,
  record: RequestRecord,
): void {
  const { headers } = head;
  removeHeader(headers, 'x-envoy-peer-metadata');
  removeHeader(headers, 'x-envoy-peer-metadata-id');
  if (serviceTimeMs >= 0) {
    setOwnHeader(headers, 'x-envoy-upstream-service-time', String(Math.floor(serviceTimeMs)));
  }
  if (weighted !== null) route.clusterMutations(weighted)?.response.apply(headers, record);
  applyMutations(route.responseHeaders, headers, record);
}

/** The first authority stays in `x-envoy-original-host`, whatever a later try is told. */
function rewriteAuthority(head: RequestHead, authority: string): void {
  if (head.authority === authority) return;
  if (!hasHeader(head.headers, 'x-envoy-original-host')) {
    setHeader(head.headers, 'x-envoy-original-host', head.authority);
  }
  head.authority = authority;
}

/** Whether streams of the cluster can run on mesh mutual TLS, where the other end is a sidecar. */
function isMeshCluster(cluster: Cluster): boolean {
  const { tls, tlsMatches } = cluster.config;
  return tls !== null || tlsMatches.some((match) => match.tls !== null);
}
