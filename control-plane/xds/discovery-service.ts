import { AggregatedDiscoveryServiceService } from '../../proto/gen/envoy/service/discovery/v3/ads.ts';
import { encodeDelta, encodeStateOfTheWorld } from './response-body.ts';

const { streamAggregatedResources, deltaAggregatedResources } = AggregatedDiscoveryServiceService;

/** The discovery service as a server offers it: what many streams are sent is encoded once. */
export const DISCOVERY_SERVICE = {
  streamAggregatedResources: {
    ...streamAggregatedResources,
    responseSerialize: encodeStateOfTheWorld,
  },
  deltaAggregatedResources: { ...deltaAggregatedResources, responseSerialize: encodeDelta },
} as const;
