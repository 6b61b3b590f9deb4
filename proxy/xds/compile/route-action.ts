import type {
  DirectResponseAction,
  RedirectAction,
  RouteAction,
  RouteAction_MaxStreamDuration,
  WeightedCluster_ClusterWeight,
} from '../../../proto/gen/envoy/config/route/v3/route_components.ts';
import type {
  DirectResponseConfig,
  RedirectConfig,
  RouteActionConfig,
  StreamDurationConfig,
  WeightedCluster,
} from '../../router/route-config.ts';
import type { CompileContext } from './compile-context.ts';
import { readDataSource } from './data-source.ts';
import { compileRequestHeaders, compileResponseHeaders, NO_MUTATIONS } from './header-mutation.ts';
import type { MessageReader } from './message-reader.ts';
import { compileRegexRewrite } from './regex-matcher.ts';
import { compileRetryPolicy } from './retry-policy.ts';

/** Envoy's; Istio sends an explicit 0. */
const TIMEOUT_MS = 15_000;
/** Bytes of a direct response's body (TM-11). */
const BODY_BYTES_MAX = 1 << 20;
const WEIGHT_TOTAL_MAX = 0xffffffff;

/** `envoy.config.route.v3.RouteAction`. */
export function compileRouteAction(reader: MessageReader<RouteAction>): RouteActionConfig {
  const clusters = compileClusters(reader);
  const retry = reader.child('retryPolicy');
  const regexRewrite = reader.child('regexRewrite');
  const streamDuration = compileStreamDuration(reader.child('maxStreamDuration'));
  const timeoutMs = reader.durationMs('timeout', TIMEOUT_MS);
  const prefixRewrite = reader.string('prefixRewrite');
  if (prefixRewrite !== '' && regexRewrite !== undefined) {
    reader.problem('regexRewrite', 'cannot stand beside prefix_rewrite');
  }
  return {
    kind: 'route',
    ...clusters,
    // As in Envoy, where max_stream_duration takes the place of the older timeouts.
    timeoutMs: streamDuration === null ? timeoutMs : 0,
    ...compileGrpcTimeout(reader, streamDuration),
    idleTimeoutMs: reader.durationMs('idleTimeout', -1),
    streamDuration,
    retry: retry === undefined ? null : compileRetryPolicy(retry),
    prefixRewrite,
    regexRewrite: regexRewrite === undefined ? null : compileRegexRewrite(regexRewrite),
    ...compileHostRewrite(reader),
    upgrades: compileUpgrades(reader),
    clusterNotFoundStatus: reader.choice(
      'clusterNotFoundResponseCode',
      [
        [0, 'SERVICE_UNAVAILABLE', 503],
        [1, 'NOT_FOUND', 404],
        [2, 'INTERNAL_SERVER_ERROR', 500],
      ],
      503,
    ),
  };
}

function compileStreamDuration(
  reader: MessageReader<RouteAction_MaxStreamDuration> | undefined,
): StreamDurationConfig | null {
  if (reader === undefined) return null;
  return {
    maxMs: reader.durationMs('maxStreamDuration', -1),
    grpcTimeoutMaxMs: reader.durationMs('grpcTimeoutHeaderMax', -1),
    grpcTimeoutOffsetMs: reader.durationMs('grpcTimeoutHeaderOffset', 0),
  };
}

function compileGrpcTimeout(
  reader: MessageReader<RouteAction>,
  streamDuration: StreamDurationConfig | null,
): Pick<RouteActionConfig, 'grpcTimeoutMaxMs' | 'grpcTimeoutOffsetMs'> {
  const maxMs = reader.durationMs('maxGrpcTimeout', -1);
  const offsetMs = reader.durationMs('grpcTimeoutOffset', 0);
  return {
    grpcTimeoutMaxMs: streamDuration === null ? maxMs : -1,
    grpcTimeoutOffsetMs: offsetMs,
  };
}

type Clusters = Pick<RouteActionConfig, 'clusters' | 'weightTotal' | 'clusterHeader'>;

function compileClusters(reader: MessageReader<RouteAction>): Clusters {
  const set = reader.oneof('clusterSpecifier');
  switch (set?.$case) {
    case 'cluster':
      if (set.value === '') reader.caseProblem(set, 'must not be empty');
      return { clusters: [oneCluster(set.value)], weightTotal: 1, clusterHeader: '' };
    case 'clusterHeader':
      if (set.value === '') reader.caseProblem(set, 'must not be empty');
      return { clusters: [oneCluster('')], weightTotal: 1, clusterHeader: set.value.toLowerCase() };
    case 'weightedClusters': {
      const weighted = reader.caseReader(set);
      const clusters = weighted.children('clusters').map(compileWeightedCluster);
      const weightTotal = clusters.reduce((sum, { weight }) => sum + weight, 0);
      if (clusters.length === 0) weighted.problem('clusters', 'must not be empty');
      else if (weightTotal === 0)
        weighted.problem('clusters', 'the sum of the weights must not be 0');
      else if (weightTotal > WEIGHT_TOTAL_MAX) {
        weighted.problem('clusters', `the sum of the weights must not exceed ${WEIGHT_TOTAL_MAX}`);
      }
      return { clusters, weightTotal, clusterHeader: '' };
    }
    default:
      reader.unsupportedCase(set, 'cluster, weighted_clusters or cluster_header');
      return { clusters: [oneCluster('')], weightTotal: 1, clusterHeader: '' };
  }
}

function oneCluster(name: string): WeightedCluster {
  return {
    name,
    weight: 1,
    hostRewrite: '',
    requestHeaders: NO_MUTATIONS,
    responseHeaders: NO_MUTATIONS,
  };
}

function compileWeightedCluster(
  reader: MessageReader<WeightedCluster_ClusterWeight>,
): WeightedCluster {
  const hostRewrite = reader.oneof('hostRewriteSpecifier');
  return {
    name: reader.required('name'),
    weight: reader.integer('weight', { fallback: 0 }),
    hostRewrite: hostRewrite?.value ?? '',
    requestHeaders: compileRequestHeaders(reader),
    responseHeaders: compileResponseHeaders(reader),
  };
}

function compileHostRewrite(
  reader: MessageReader<RouteAction>,
): Pick<RouteActionConfig, 'hostRewrite' | 'autoHostRewrite'> {
  const set = reader.oneof('hostRewriteSpecifier');
  switch (set?.$case) {
    case undefined:
      return { hostRewrite: '', autoHostRewrite: false };
    case 'hostRewriteLiteral':
      return { hostRewrite: set.value, autoHostRewrite: false };
    case 'autoHostRewrite':
      return { hostRewrite: '', autoHostRewrite: set.value === true };
    default:
      reader.unsupportedCase(set, 'host_rewrite_literal or auto_host_rewrite');
      return { hostRewrite: '', autoHostRewrite: false };
  }
}

function compileUpgrades(reader: MessageReader<RouteAction>): ReadonlyMap<string, boolean> {
  const upgrades = new Map<string, boolean>();
  for (const upgrade of reader.children('upgradeConfigs')) {
    const name = upgrade.required('upgradeType').toLowerCase();
    if (upgrades.has(name)) upgrade.problem('upgradeType', `"${name}" stands here twice`);
    upgrades.set(name, upgrade.bool('enabled', true));
    upgrade.child('connectConfig'); // CONNECT ends here: the route with connect_matcher is a tunnel
  }
  return upgrades;
}

/** `envoy.config.route.v3.RedirectAction` (TM-10). */
export function compileRedirect(reader: MessageReader<RedirectAction>): RedirectConfig {
  const scheme = reader.oneof('schemeRewriteSpecifier');
  const rewrite = reader.oneof('pathRewriteSpecifier');
  return {
    kind: 'redirect',
    scheme:
      scheme?.$case === 'schemeRedirect'
        ? scheme.value.toLowerCase()
        : scheme?.value === true
          ? 'https'
          : '',
    host: reader.string('hostRedirect'),
    port: reader.integer('portRedirect', { max: 65_535, fallback: 0 }),
    path: rewrite?.$case === 'pathRedirect' ? rewrite.value : '',
    prefixRewrite: rewrite?.$case === 'prefixRewrite' ? rewrite.value : '',
    regexRewrite:
      rewrite?.$case === 'regexRewrite' ? compileRegexRewrite(reader.caseReader(rewrite)) : null,
    status: reader.choice<RedirectConfig['status']>(
      'responseCode',
      [
        [0, 'MOVED_PERMANENTLY', 301],
        [1, 'FOUND', 302],
        [2, 'SEE_OTHER', 303],
        [3, 'TEMPORARY_REDIRECT', 307],
        [4, 'PERMANENT_REDIRECT', 308],
      ],
      301,
    ),
    stripQuery: reader.bool('stripQuery'),
  };
}

/** `envoy.config.route.v3.DirectResponseAction` (TM-11). */
export function compileDirectResponse(
  reader: MessageReader<DirectResponseAction>,
  context: CompileContext,
): DirectResponseConfig {
  const body = reader.child('body');
  const bytes = body === undefined ? Buffer.alloc(0) : readDataSource(body, context);
  if (bytes.length > BODY_BYTES_MAX) {
    reader.problem('body', `must not be longer than ${BODY_BYTES_MAX} bytes, is ${bytes.length}`);
  }
  return {
    kind: 'directResponse',
    status: reader.integer('status', { min: 200, max: 599, fallback: 200 }),
    body: bytes,
  };
}
