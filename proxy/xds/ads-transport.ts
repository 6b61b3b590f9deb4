import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';

/** What carries delta ADS streams: gRPC in production (`grpc-ads-transport.ts`), lists in tests. */
export interface AdsTransport {
  /** Opens one stream. Exactly one `onEnd` follows, also where it never came to be; none after `close`. */
  open(events: AdsStreamEvents): AdsStream;
}

export interface AdsStreamEvents {
  /** The next response is read only when the promise has resolved. */
  onResponse(response: DeltaDiscoveryResponse): Promise<void>;
  /** `reason` is for people. */
  onEnd(reason: string): void;
}

export interface AdsStream {
  send(request: DeltaDiscoveryRequest): void;
  close(): void;
}
