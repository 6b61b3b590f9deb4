import { BinaryReader } from '@bufbuild/protobuf/wire';
import { Client, type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js';
import { Cluster } from '../../../../proto/gen/envoy/config/cluster/v3/cluster.ts';
import type { Node } from '../../../../proto/gen/envoy/config/core/v3/base.ts';
import { Listener } from '../../../../proto/gen/envoy/config/listener/v3/listener.ts';
import { HttpConnectionManager } from '../../../../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts';
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from '../../../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import {
  TYPE_CLUSTER,
  TYPE_ENDPOINT,
  TYPE_HTTP_CONNECTION_MANAGER,
  TYPE_LISTENER,
  TYPE_ROUTE,
} from '../../../../proto/type-urls.ts';

const METHOD = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';
/** The control plane admits so many streams at once, and so many a second after that; a real sidecar backs off instead. */
const AT_ONCE = 380;
const PER_SECOND = 180;

export interface FleetOptions {
  /** `host:port` of the control plane's TLS port. */
  readonly address: string;
  readonly rootCertPem: string;
  /** One for each identity; sidecars take them in turn. */
  readonly tokens: readonly string[];
  readonly nodeOf: (index: number) => Node;
}

/** What a sidecar asks for once it knows its clusters or its listeners, by their type; the same for all of a fleet. */
type References = Map<string, ReadonlySet<string>>;

/**
 * Sidecars as a control plane sees them: a TLS connection and an incremental ADS stream each, every response acknowledged.
 * What they are told is counted and thrown away; only the first of them reads it, for the names that all ask for next.
 */
export class AdsFleet {
  readonly sidecars: readonly SimulatedSidecar[];
  #onAck: () => void = () => {};
  #failure: Error | null = null;

  constructor(count: number, options: FleetOptions) {
    const references: References = new Map();
    this.sidecars = Array.from({ length: count }, (_, index) => {
      const token = options.tokens[index % options.tokens.length]!;
      return new SimulatedSidecar(options, token, options.nodeOf(index), references, {
        acked: () => this.#onAck(),
        failed: (error) => {
          this.#failure ??= error;
          this.#onAck();
        },
      });
    });
  }

  /** Bytes of all responses so far. */
  get bytes(): number {
    return this.sidecars.reduce((sum, sidecar) => sum + sidecar.bytes, 0);
  }

  /** Opens all streams; resolves when every sidecar has acknowledged clusters, listeners, endpoints and routes. */
  async start(): Promise<void> {
    const whole = this.untilEach((sidecar) => sidecar.isWhole);
    for (const [index, sidecar] of this.sidecars.entries()) {
      if (index >= AT_ONCE) await new Promise((resolve) => setTimeout(resolve, 1000 / PER_SECOND));
      sidecar.open();
    }
    await whole;
  }

  /** Resolves when `reached` holds of every sidecar; looked at after each ACK. */
  untilEach(reached: (sidecar: SimulatedSidecar) => boolean, timeoutMs = 300_000): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const missing = this.sidecars.filter((sidecar) => !reached(sidecar)).length;
        reject(new Error(`${missing} sidecars had not acknowledged after ${timeoutMs} ms`));
      }, timeoutMs);
      // Those that have reached it stay so: each is looked at until then.
      let at = 0;
      this.#onAck = () => {
        if (this.#failure !== null) {
          clearTimeout(timer);
          reject(this.#failure);
          return;
        }
        while (at < this.sidecars.length && reached(this.sidecars[at]!)) at += 1;
        if (at < this.sidecars.length) return;
        clearTimeout(timer);
        this.#onAck = () => {};
        resolve();
      };
      this.#onAck();
    });
  }

  close(): void {
    for (const sidecar of this.sidecars) sidecar.close();
  }
}

interface SidecarEvents {
  acked(): void;
  failed(error: Error): void;
}

export class SimulatedSidecar {
  bytes = 0;
  readonly #options: FleetOptions;
  readonly #token: string;
  readonly #node: Node;
  readonly #references: References;
  readonly #events: SidecarEvents;
  /** By type URL: responses acknowledged. */
  readonly #acks = new Map<string, number>();
  #client: Client | null = null;
  #call: ClientDuplexStream<Buffer, Buffer> | null = null;

  constructor(
    options: FleetOptions,
    token: string,
    node: Node,
    references: References,
    events: SidecarEvents,
  ) {
    this.#options = options;
    this.#token = token;
    this.#node = node;
    this.#references = references;
    this.#events = events;
  }

  acks(typeUrl: string): number {
    return this.#acks.get(typeUrl) ?? 0;
  }

  get isWhole(): boolean {
    return [TYPE_CLUSTER, TYPE_LISTENER, TYPE_ENDPOINT, TYPE_ROUTE].every(
      (type) => this.acks(type) > 0,
    );
  }

  open(): void {
    const { address, rootCertPem } = this.#options;
    this.#client = new Client(address, credentials.createSsl(Buffer.from(rootCertPem)), {
      'grpc.ssl_target_name_override': 'localhost', // Node.js takes no IP address as a server name
      'grpc.use_local_subchannel_pool': 1, // a connection of its own, as a sidecar has
      'grpc.max_receive_message_length': -1,
      'grpc.enable_retries': 0,
      'grpc.enable_channelz': 0,
      'grpc.service_config_disable_resolution': 1,
    });
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${this.#token}`);
    const asIs = (bytes: Buffer): Buffer => bytes;
    const call = this.#client.makeBidiStreamRequest(METHOD, asIs, asIs, metadata);
    this.#call = call;
    call.on('data', (bytes: Buffer) => this.#onResponse(bytes));
    call.on('error', (error: Error) => this.#events.failed(error));
    this.#send({ typeUrl: TYPE_CLUSTER, node: this.#node });
    this.#send({ typeUrl: TYPE_LISTENER });
  }

  close(): void {
    this.#call?.removeAllListeners('error').on('error', () => {});
    this.#call?.cancel();
    this.#client?.close();
  }

  #send(request: Partial<DeltaDiscoveryRequest>): void {
    const message = DeltaDiscoveryRequest.create(request);
    this.#call!.write(Buffer.from(DeltaDiscoveryRequest.encode(message).finish()));
  }

  #onResponse(bytes: Buffer): void {
    this.bytes += bytes.length;
    const { typeUrl, nonce } = readEnvelope(bytes);
    this.#send({ typeUrl, responseNonce: nonce });
    this.#acks.set(typeUrl, this.acks(typeUrl) + 1);
    if (this.acks(typeUrl) === 1 && (typeUrl === TYPE_CLUSTER || typeUrl === TYPE_LISTENER)) {
      this.#askForReferences(typeUrl, bytes);
    }
    this.#events.acked();
  }

  /** As a sidecar does: endpoints when it knows its clusters, which its listeners wait for; routes with the listeners. */
  #askForReferences(typeUrl: string, bytes: Buffer): void {
    const names = this.#references.get(typeUrl) ?? referencesOf(bytes);
    this.#references.set(typeUrl, names);
    const wanted = typeUrl === TYPE_CLUSTER ? TYPE_ENDPOINT : TYPE_ROUTE;
    this.#send({ typeUrl: wanted, resourceNamesSubscribe: [...names] });
  }
}

/** Type and nonce of a DeltaDiscoveryResponse (fields 4 and 5); its resources are passed over. */
export function readEnvelope(bytes: Uint8Array): { typeUrl: string; nonce: string } {
  const reader = new BinaryReader(bytes);
  const envelope = { typeUrl: '', nonce: '' };
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 4) envelope.typeUrl = reader.string();
    else if (field === 5) envelope.nonce = reader.string();
    else reader.skip(wireType, field);
  }
  return envelope;
}

/** Names of the endpoints that clusters, or of the routes that listeners take from elsewhere. */
function referencesOf(response: Buffer): ReadonlySet<string> {
  const names = new Set<string>();
  const { typeUrl, resources } = DeltaDiscoveryResponse.decode(response);
  for (const { resource } of resources) {
    if (typeUrl === TYPE_CLUSTER) addEndpoints(Cluster.decode(resource!.value), names);
    else addRoutes(Listener.decode(resource!.value), names);
  }
  return names;
}

function addEndpoints(cluster: Cluster, names: Set<string>): void {
  if (cluster.edsClusterConfig === undefined) return;
  names.add(cluster.edsClusterConfig.serviceName || cluster.name);
}

function addRoutes(listener: Listener, names: Set<string>): void {
  for (const { filters } of listener.filterChains) {
    for (const { configType } of filters) {
      if (configType?.$case !== 'typedConfig') continue;
      if (configType.value.typeUrl !== TYPE_HTTP_CONNECTION_MANAGER) continue;
      const manager = HttpConnectionManager.decode(configType.value.value);
      const set = manager.routeSpecifier;
      if (set?.$case === 'rds') names.add(set.value.routeConfigName);
    }
  }
}
