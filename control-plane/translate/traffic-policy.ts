import type { PolicyBlocks, Subset, TrafficPolicy } from '../kinds/destination-rule.ts';

const NOTHING: PolicyBlocks = Object.freeze({});

/**
 * The policy of one port of a host or of one of its subsets (TM-09): the subset's blocks replace the host's block by
 * block; `portLevelSettings` replace all, and what they leave out falls to the defaults and not to the parent.
 */
export function effectivePolicy(
  hostPolicy: TrafficPolicy | undefined,
  subset: Subset | undefined,
  port: number,
): PolicyBlocks {
  const ofHost = atPort(hostPolicy, port) ?? hostPolicy ?? NOTHING;
  if (subset?.trafficPolicy === undefined) return ofHost;
  return atPort(subset.trafficPolicy, port) ?? { ...ofHost, ...blocks(subset.trafficPolicy) };
}

function atPort(policy: TrafficPolicy | undefined, port: number): PolicyBlocks | undefined {
  return policy?.portLevelSettings.find((each) => each.port.number === port);
}

function blocks(policy: PolicyBlocks): PolicyBlocks {
  return {
    ...(policy.loadBalancer !== undefined && { loadBalancer: policy.loadBalancer }),
    ...(policy.connectionPool !== undefined && { connectionPool: policy.connectionPool }),
    ...(policy.tls !== undefined && { tls: policy.tls }),
  };
}
