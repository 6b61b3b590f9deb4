import type { CircuitBreakers_Thresholds } from '../../../proto/gen/envoy/config/cluster/v3/circuit_breaker.ts';
import type {
  Cluster,
  Cluster_CommonLbConfig,
  LoadBalancingPolicy,
} from '../../../proto/gen/envoy/config/cluster/v3/cluster.ts';
import type { LocalityLbConfig } from '../../../proto/gen/envoy/extensions/load_balancing_policies/common/v3/common.ts';
import { runToEnd, type Steps } from '../../../proto/steps.ts';
import type {
  ClusterConfig,
  EndpointAssignment,
  TransportSocketMatch,
} from '../../upstream/cluster-config.ts';
import { compileSocketAddress } from './address.ts';
import type { CompileContext } from './compile-context.ts';
import { compileUpstreamHttpOptions } from './http-protocol-options.ts';
import { loadAssignmentSteps } from './load-assignment.ts';
import { MessageReader } from './message-reader.ts';
import { compilePercent } from './percent.ts';
import { type Compiled, Problems } from './problems.ts';
import { compileUpstreamSocket } from './tls-context.ts';
import { destinationService, stringPairs } from './workload.ts';

/** RS-10. */
const CONNECT_TIMEOUT_MS = 5000;
/** DS-03. */
const DNS_REFRESH_MS = 5000;
/** `tcp_keepalive` without a time: the default of Linux. */
const KEEPALIVE_MS = 7_200_000;

/** A CDS resource or a static cluster. */
export function compileCluster(
  message: Cluster,
  version: string,
  context: CompileContext,
): Compiled<ClusterConfig> {
  return runToEnd(compileClusterSteps(message, version, context));
}

/** The same with a pause after each endpoint that stands in it. */
export function* compileClusterSteps(
  message: Cluster,
  version: string,
  context: CompileContext,
): Steps<Compiled<ClusterConfig>> {
  const problems = new Problems();
  const reader = new MessageReader(
    problems,
    'envoy.config.cluster.v3.Cluster',
    message,
    context.root,
  );
  const discovery = compileDiscovery(reader);
  const name = reader.required('name');
  const common = reader.child('commonLbConfig');
  const config: ClusterConfig = {
    name,
    discovery,
    edsServiceName: compileEds(reader, discovery) || name,
    connectTimeoutMs: reader.durationMs('connectTimeout', CONNECT_TIMEOUT_MS, 1),
    ...compileLoadBalancing(reader, discovery, common),
    panicThresholdPercent: compilePanicThreshold(common),
    ...compileUpstreamHttpOptions(reader),
    ...compileCircuitBreakers(reader),
    tls: compileUpstreamSocket(reader.child('transportSocket'), context),
    tlsMatches: compileTlsMatches(reader, context),
    dnsRefreshMs: reader.durationMs('dnsRefreshRate', DNS_REFRESH_MS, 1),
    dnsFamily: reader.choice<ClusterConfig['dnsFamily']>(
      'dnsLookupFamily',
      [
        [0, 'AUTO', 'AUTO'],
        [1, 'V4_ONLY', 'V4_ONLY'],
        [2, 'V6_ONLY', 'V6_ONLY'],
        [3, 'V4_PREFERRED', 'AUTO'],
        [4, 'ALL', 'AUTO'],
      ],
      'AUTO',
    ),
    bindAddresses: compileBindAddresses(reader),
    tcpKeepaliveMs: compileKeepalive(reader),
    assignment: yield* assignmentSteps(reader, discovery, version),
    service: destinationService(name, reader.take('metadata')),
    version,
  };
  reader.finish();
  return problems.finish(config);
}

const DISCOVERY: ReadonlyMap<number, ClusterConfig['discovery']> = new Map([
  [0, 'STATIC'],
  [1, 'STRICT_DNS'],
  [3, 'EDS'],
  [4, 'ORIGINAL_DST'],
]);

function compileDiscovery(reader: MessageReader<Cluster>): ClusterConfig['discovery'] {
  const set = reader.oneof('clusterDiscoveryType');
  if (set === undefined) return 'STATIC';
  const supported = [...DISCOVERY.values()].join(', ');
  if (set.$case !== 'type') {
    reader.unsupportedCase(set, `type with one of ${supported}`);
    return 'STATIC';
  }
  const discovery = DISCOVERY.get(set.value);
  if (discovery !== undefined) return discovery;
  reader.caseProblem(
    set,
    `${set.value === 2 ? 'LOGICAL_DNS' : set.value} is not supported; use one of ${supported}`,
  );
  return 'STATIC';
}

/** `eds_cluster_config.service_name`, or ''. */
function compileEds(reader: MessageReader<Cluster>, discovery: ClusterConfig['discovery']): string {
  const eds = reader.child('edsClusterConfig');
  if (discovery !== 'EDS') {
    if (eds !== undefined) reader.problem('edsClusterConfig', 'needs type: EDS');
    return '';
  }
  if (eds === undefined) {
    reader.problem('edsClusterConfig', 'must be set for type: EDS');
    return '';
  }
  const source = eds.child('edsConfig');
  if (source === undefined) eds.problem('edsConfig', 'must be set');
  else {
    const set = source.oneof('configSourceSpecifier');
    if (set?.$case !== 'ads' && set?.$case !== 'self') source.unsupportedCase(set, 'ads');
  }
  return eds.string('serviceName');
}

type Lb = Pick<ClusterConfig, 'lbPolicy' | 'leastRequestChoices' | 'localityWeighted'>;

function compileLoadBalancing(
  reader: MessageReader<Cluster>,
  discovery: ClusterConfig['discovery'],
  common: MessageReader<Cluster_CommonLbConfig> | undefined,
): Lb {
  const lb = compileLbPolicy(reader, discovery);
  return weighsLocalities(common) ? { ...lb, localityWeighted: true } : lb;
}

function compileLbPolicy(
  reader: MessageReader<Cluster>,
  discovery: ClusterConfig['discovery'],
): Lb {
  const policy = reader.child('loadBalancingPolicy');
  const number = reader.take('lbPolicy');
  const config = reader.oneof('lbConfig');
  let leastRequestChoices = 2;
  if (config?.$case === 'leastRequestLbConfig') {
    const least = reader.caseReader(config);
    leastRequestChoices = least.integer('choiceCount', { min: 2, max: 100, fallback: 2 });
  } else if (config?.$case === 'roundRobinLbConfig' || config?.$case === 'originalDstLbConfig') {
    // Read for their settings: each one that is set is reported.
    reader.caseReader<object>(config);
  } else if (config !== undefined) {
    reader.unsupportedCase(config, 'least_request_lb_config or round_robin_lb_config');
  }
  if (policy !== undefined) return compilePolicyList(policy, leastRequestChoices);
  if (number === 6 && discovery === 'ORIGINAL_DST') {
    return { lbPolicy: 'ROUND_ROBIN', leastRequestChoices, localityWeighted: false };
  }
  const lbPolicy = reader.choice<Lb['lbPolicy']>(
    'lbPolicy',
    [
      [0, 'ROUND_ROBIN', 'ROUND_ROBIN'],
      [1, 'LEAST_REQUEST', 'LEAST_REQUEST'],
      [3, 'RANDOM', 'RANDOM'],
    ],
    'ROUND_ROBIN',
  );
  return { lbPolicy, leastRequestChoices, localityWeighted: false };
}

const POLICY_TYPES = [
  'envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin',
  'envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest',
  'envoy.extensions.load_balancing_policies.random.v3.Random',
  'envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided',
  'envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality',
] as const;

/** `load_balancing_policy`: a list in order of preference, of which the first known one counts. */
function compilePolicyList(reader: MessageReader<LoadBalancingPolicy>, choices: number): Lb {
  const fallback: Lb = {
    lbPolicy: 'ROUND_ROBIN',
    leastRequestChoices: choices,
    localityWeighted: false,
  };
  const policies = reader.children('policies');
  const names: readonly string[] = POLICY_TYPES;
  const known = policies.find(({ message }) => {
    const url = message.typedExtensionConfig?.typedConfig?.typeUrl ?? '';
    return names.includes(url.slice(url.lastIndexOf('/') + 1));
  });
  for (const policy of policies) policy.take('typedExtensionConfig');
  if (known === undefined) {
    reader.problem('policies', `none is supported; use one of ${POLICY_TYPES.join(', ')}`);
    return fallback;
  }
  const extension = known.child('typedExtensionConfig')!;
  extension.take('name');
  const any = extension.take('typedConfig');
  const found = extension.unpack(any, extension.at('typedConfig'), POLICY_TYPES);
  if (found === undefined) return fallback;
  switch (found.name) {
    case 'envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest': {
      const least = found.reader.integer('choiceCount', { min: 2, max: 100, fallback: 2 });
      const localityWeighted = weighsLocalities(found.reader.child('localityLbConfig'));
      return { lbPolicy: 'LEAST_REQUEST', leastRequestChoices: least, localityWeighted };
    }
    case 'envoy.extensions.load_balancing_policies.random.v3.Random': {
      const localityWeighted = weighsLocalities(found.reader.child('localityLbConfig'));
      return { ...fallback, lbPolicy: 'RANDOM', localityWeighted };
    }
    case 'envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality': {
      const inner = found.reader.child('endpointPickingPolicy');
      if (inner !== undefined) {
        return { ...compilePolicyList(inner, choices), localityWeighted: true };
      }
      found.reader.problem('endpointPickingPolicy', 'must be set');
      return fallback;
    }
    case 'envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin':
      return {
        ...fallback,
        localityWeighted: weighsLocalities(found.reader.child('localityLbConfig')),
      };
    default:
      return fallback;
  }
}

/** `locality_config_specifier`, in the cluster or in a policy of its list. */
function weighsLocalities(
  reader: MessageReader<Cluster_CommonLbConfig | LocalityLbConfig> | undefined,
): boolean {
  return reader?.take('localityConfigSpecifier')?.$case === 'localityWeightedLbConfig';
}

/** Percent, default 50 (RS-19). */
function compilePanicThreshold(reader: MessageReader<Cluster_CommonLbConfig> | undefined): number {
  return compilePercent(reader?.child('healthyPanicThreshold'), 500_000) / 10_000;
}

type Breakers = Pick<
  ClusterConfig,
  'connectionsMax' | 'pendingRequestsMax' | 'requestsMax' | 'retriesMax'
>;

/** RS-13: Envoy's defaults. */
const BREAKERS: Breakers = {
  connectionsMax: 1024,
  pendingRequestsMax: 1024,
  requestsMax: 1024,
  retriesMax: 3,
};

function compileCircuitBreakers(reader: MessageReader<Cluster>): Breakers {
  const thresholds = reader.child('circuitBreakers')?.children('thresholds') ?? [];
  let breakers = BREAKERS;
  thresholds.forEach((threshold, index) => {
    if (threshold.take('priority') !== 0) {
      threshold.problem('priority', 'HIGH is not supported: every request has DEFAULT priority');
    } else if (index > 0) {
      threshold.problem('priority', 'a priority may stand here once');
    }
    breakers = compileThresholds(threshold);
  });
  return breakers;
}

function compileThresholds(reader: MessageReader<CircuitBreakers_Thresholds>): Breakers {
  return {
    connectionsMax: reader.integer('maxConnections', { fallback: BREAKERS.connectionsMax }),
    pendingRequestsMax: reader.integer('maxPendingRequests', {
      fallback: BREAKERS.pendingRequestsMax,
    }),
    requestsMax: reader.integer('maxRequests', { fallback: BREAKERS.requestsMax }),
    retriesMax: reader.integer('maxRetries', { fallback: BREAKERS.retriesMax }),
  };
}

function compileTlsMatches(
  reader: MessageReader<Cluster>,
  context: CompileContext,
): TransportSocketMatch[] {
  return reader.children('transportSocketMatches').map((match) => {
    const socket = match.child('transportSocket');
    if (socket === undefined) match.problem('transportSocket', 'must be set');
    return {
      name: match.required('name'),
      match: stringPairs(match.take('match')),
      tls: compileUpstreamSocket(socket, context),
    };
  });
}

/** As in Envoy, a connection takes the first address of its target's family. */
function compileBindAddresses(reader: MessageReader<Cluster>): string[] {
  const config = reader.child('upstreamBindConfig');
  const first = config?.child('sourceAddress');
  if (config === undefined || first === undefined) return [];
  const sources = [first];
  for (const extra of config.children('extraSourceAddresses')) {
    const address = extra.child('address');
    if (address === undefined) extra.problem('address', 'must be set');
    else sources.push(address);
  }
  return sources.map((source) => {
    const { host, port } = compileSocketAddress(source, 'ip');
    if (port !== 0) source.problems.add(source.caseAt('portValue'), 'must be 0');
    return host;
  });
}

function compileKeepalive(reader: MessageReader<Cluster>): number {
  const keepalive = reader.child('upstreamConnectionOptions')?.child('tcpKeepalive');
  if (keepalive === undefined) return 0;
  const seconds = keepalive.integer('keepaliveTime', { max: 32_767, fallback: -1 });
  return seconds < 0 ? KEEPALIVE_MS : seconds * 1000;
}

function* assignmentSteps(
  reader: MessageReader<Cluster>,
  discovery: ClusterConfig['discovery'],
  version: string,
): Steps<EndpointAssignment> {
  const assignment = reader.child('loadAssignment');
  if (assignment === undefined) {
    if (discovery === 'STATIC' || discovery === 'STRICT_DNS') {
      reader.problem('loadAssignment', `must be set for type: ${discovery}`);
    }
    return { version, endpoints: [] };
  }
  if (discovery === 'EDS' || discovery === 'ORIGINAL_DST') {
    reader.problem('loadAssignment', `cannot stand beside type: ${discovery}`);
  }
  const rule = discovery === 'STRICT_DNS' ? 'ip-or-name' : 'ip';
  return yield* loadAssignmentSteps(assignment, version, rule);
}
