import { AggregatedDiscoveryServiceService } from '../../proto/gen/envoy/service/discovery/v3/ads.ts';
import type {
  DeltaDiscoveryResponse,
  DiscoveryResponse,
} from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import { frameDelta, frameStateOfTheWorld } from './response-body.ts';
import { FRAME_HEAD_BYTES } from './write-framed.ts';

const { streamAggregatedResources, deltaAggregatedResources } = AggregatedDiscoveryServiceService;

/** The discovery service as a server offers it: what many streams are sent is encoded once. */
export const DISCOVERY_SERVICE = {
  streamAggregatedResources: {
    ...streamAggregatedResources,
    responseSerialize: (message: DiscoveryResponse): Buffer =>
      frameStateOfTheWorld(message).subarray(FRAME_HEAD_BYTES),
  },
  deltaAggregatedResources: {
    ...deltaAggregatedResources,
    responseSerialize: (message: DeltaDiscoveryResponse): Buffer =>
      frameDelta(message).subarray(FRAME_HEAD_BYTES),
  },
} as const;
