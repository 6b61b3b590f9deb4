import type {
  ClusterLoadAssignment,
  ClusterLoadAssignment_Policy,
} from '../../../proto/gen/envoy/config/endpoint/v3/endpoint.ts';
import type {
  LbEndpoint,
  LocalityLbEndpoints,
} from '../../../proto/gen/envoy/config/endpoint/v3/endpoint_components.ts';
import { runToEnd, type Steps } from '../../../proto/steps.ts';
import type { EndpointAssignment, EndpointConfig } from '../../upstream/cluster-config.ts';
import { type AddressRule, compileAddress } from './address.ts';
import type { CompileContext } from './compile-context.ts';
import { MessageReader } from './message-reader.ts';
import { type Compiled, Problems } from './problems.ts';
import { endpointWorkload, transportSocketMatch } from './workload.ts';

/** Priorities from 0 on; Envoy's bound. */
const PRIORITY_MAX = 128;

/** An EDS resource. */
export function compileLoadAssignment(
  message: ClusterLoadAssignment,
  version: string,
  context: CompileContext,
): Compiled<EndpointAssignment> {
  return runToEnd(compileLoadAssignmentSteps(message, version, context));
}

/** The same with a pause after each endpoint: a service may have thousands. */
export function* compileLoadAssignmentSteps(
  message: ClusterLoadAssignment,
  version: string,
  context: CompileContext,
): Steps<Compiled<EndpointAssignment>> {
  const problems = new Problems();
  const reader = new MessageReader(
    problems,
    'envoy.config.endpoint.v3.ClusterLoadAssignment',
    message,
    context.root,
  );
  if (message.clusterName === '') reader.problem('clusterName', 'must be set');
  const assignment = yield* loadAssignmentSteps(reader, version, 'ip');
  reader.finish();
  return problems.finish(assignment);
}

/** `envoy.config.endpoint.v3.ClusterLoadAssignment`, also as a part of a cluster. */
export function* loadAssignmentSteps(
  reader: MessageReader<ClusterLoadAssignment>,
  version: string,
  rule: AddressRule,
): Steps<EndpointAssignment> {
  reader.take('clusterName');
  checkPolicy(reader.child('policy'));
  const endpoints: EndpointConfig[] = [];
  for (const locality of reader.eachChild('endpoints')) {
    yield* localitySteps(locality, rule, endpoints);
  }
  checkPriorities(reader, endpoints);
  return { version, endpoints };
}

function checkPolicy(reader: MessageReader<ClusterLoadAssignment_Policy> | undefined): void {
  const percent = reader?.integer('overprovisioningFactor', { fallback: 140 }) ?? 140;
  if (percent === 140) return;
  reader?.problem(
    'overprovisioningFactor',
    `only 140, the official default, is built in; is ${percent}`,
  );
}

/** Adds to `endpoints`. */
function* localitySteps(
  reader: MessageReader<LocalityLbEndpoints>,
  rule: AddressRule,
  endpoints: EndpointConfig[],
): Steps<void> {
  const place = reader.child('locality');
  const shared = {
    locality:
      place === undefined
        ? ''
        : [place.string('region'), place.string('zone'), place.string('subZone')]
            .join('/')
            .replace(/\/+$/, ''),
    localityWeight: reader.integer('loadBalancingWeight', { fallback: 0 }),
    priority: reader.integer('priority', { max: PRIORITY_MAX, fallback: 0 }),
  };
  const listed = reader.oneof('lbConfig');
  if (listed?.$case === 'loadBalancerEndpoints') {
    for (const endpoint of reader.caseReader(listed).eachChild('lbEndpoints')) {
      endpoints.push(readEndpoint(endpoint, rule, shared));
      yield;
    }
  } else if (listed !== undefined) {
    reader.unsupportedCase(listed, 'lb_endpoints');
  }
  for (const endpoint of reader.eachChild('lbEndpoints')) {
    endpoints.push(readEndpoint(endpoint, rule, shared));
    yield;
  }
}

function readEndpoint(
  reader: MessageReader<LbEndpoint>,
  rule: AddressRule,
  locality: Pick<EndpointConfig, 'locality' | 'localityWeight' | 'priority'>,
): EndpointConfig {
  const metadata = reader.take('metadata');
  const set = reader.oneof('hostIdentifier');
  let address = { host: '', port: 0 };
  let hostname = '';
  if (set?.$case === 'endpoint') {
    const endpoint = reader.caseReader(set);
    const written = endpoint.child('address');
    if (written === undefined) endpoint.problem('address', 'must be set');
    address = compileAddress(written, rule);
    if (written !== undefined && address.host !== '' && address.port === 0) {
      endpoint.problem('address', 'port_value must be set');
    }
    hostname = endpoint.string('hostname');
  } else {
    reader.unsupportedCase(set, 'endpoint');
  }
  return {
    address: address.host,
    port: address.port,
    hostname,
    health: reader.choice<EndpointConfig['health']>(
      'healthStatus',
      [
        [0, 'UNKNOWN', 'UNKNOWN'],
        [1, 'HEALTHY', 'HEALTHY'],
        [2, 'UNHEALTHY', 'UNHEALTHY'],
        [3, 'DRAINING', 'DRAINING'],
        [4, 'TIMEOUT', 'UNHEALTHY'],
        [5, 'DEGRADED', 'HEALTHY'], // degraded endpoints only lose weight in Envoy
      ],
      'UNKNOWN',
    ),
    weight: reader.integer('loadBalancingWeight', { fallback: 1 }) || 1, // LB-07: 0 counts as 1
    ...locality,
    transportSocketMatch: transportSocketMatch(metadata),
    workload: endpointWorkload(metadata),
  };
}

/** Priorities must start at 0 and leave no gap: a gap is a group that never gets traffic. */
function checkPriorities(
  reader: MessageReader<ClusterLoadAssignment>,
  endpoints: readonly EndpointConfig[],
): void {
  const seen = new Set(endpoints.map(({ priority }) => priority));
  const highest = Math.max(-1, ...seen);
  for (let priority = 0; priority <= highest; priority++) {
    if (seen.has(priority)) continue;
    reader.problem('endpoints', `priority ${priority} is missing below priority ${highest}`);
    return;
  }
}
