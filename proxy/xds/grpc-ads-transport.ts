import {
  type ChannelCredentials,
  Client,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import { codecOf } from '../../proto/message-codec.ts';
import type { AdsStream, AdsStreamEvents, AdsTransport } from './ads-transport.ts';
import { TimeSlices } from './time-slices.ts';

/** Bytes of one response; rule 18. */
const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;

const METHOD = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';
const REQUEST = codecOf('envoy.service.discovery.v3.DeltaDiscoveryRequest')!;
const RESPONSE = codecOf('envoy.service.discovery.v3.DeltaDiscoveryResponse')!;

/** What one connection is made with; asked anew for each, so that renewed certificates and tokens count. */
export interface ChannelSettings {
  readonly credentials: ChannelCredentials;
  /** How the server is verified (`tls/grpc-server-name.ts`). */
  readonly channelOptions: Readonly<Record<string, string>>;
  /** Call metadata, e.g. `authorization`. */
  readonly metadata: readonly (readonly [string, string])[];
}

/** Delta ADS over gRPC. A silent connection is found out by keepalive pings, 30 s and 10 s (rule 19). */
export class GrpcAdsTransport implements AdsTransport {
  readonly #target: string;
  readonly #settings: () => ChannelSettings;

  constructor(target: string, settings: () => ChannelSettings) {
    this.#target = target;
    this.#settings = settings;
  }

  open(events: AdsStreamEvents): AdsStream {
    const { credentials, channelOptions, metadata: pairs } = this.#settings();
    const client = new Client(this.#target, credentials, {
      'grpc.keepalive_time_ms': 30_000,
      'grpc.keepalive_timeout_ms': 10_000,
      'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
      'grpc.enable_channelz': 0,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.service_config_disable_resolution': 1,
      'grpc.enable_retries': 0,
      'grpc.enable_http_proxy': 0, // HTTP_PROXY is for the app, and names this sidecar
      ...channelOptions,
    });
    const metadata = new Metadata();
    for (const [name, value] of pairs) metadata.add(name, value);
    const call = client.makeBidiStreamRequest(
      METHOD,
      (request: DeltaDiscoveryRequest) => Buffer.from(REQUEST.encode(request)),
      (bytes) => bytes,
      metadata,
    );
    let over = false;
    const end = (reason: string): void => {
      if (over) return;
      over = true;
      client.close();
      events.onEnd(reason);
    };
    const take = async (bytes: Uint8Array): Promise<void> => {
      const response = await new TimeSlices().run(RESPONSE.decodeSteps(bytes));
      if (!over) await events.onResponse(response as DeltaDiscoveryResponse);
    };
    call.on('data', (bytes: Uint8Array) => {
      call.pause();
      take(bytes).then(
        () => call.resume(),
        (error: unknown) => {
          call.cancel();
          end(`a response could not be handled: ${error instanceof Error ? error.message : error}`);
        },
      );
    });
    call.on('error', (error: ServiceError) => {
      end(`${status[error.code] ?? 'UNKNOWN'}: ${error.details || error.message}`);
    });
    call.on('end', () => {
      call.end();
      // The status follows as an error where it is not OK.
      setImmediate(() => end('the server ended the stream'));
    });
    return {
      send: (request) => {
        if (!over) call.write(request);
      },
      close: () => {
        over = true;
        call.cancel();
        client.close();
      },
    };
  }
}
