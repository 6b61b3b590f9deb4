import { createHash } from 'node:crypto';
import { join } from 'node:path';
import {
  type GrpcObject,
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceClientConstructor,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { ROOT } from '../harness/node-process.ts';

/** Where @grpc/grpc-js-xds keeps the official files. */
const OFFICIAL = join(ROOT, 'node_modules/@grpc/grpc-js-xds/deps');
const ADS = 'envoy/service/discovery/v3/ads.proto';
/** Whatever may stand in an Any. */
const MESSAGES = [
  'envoy/config/cluster/v3/cluster.proto',
  'envoy/config/endpoint/v3/endpoint.proto',
  'envoy/config/listener/v3/listener.proto',
  'envoy/config/route/v3/route.proto',
  'envoy/extensions/filters/http/router/v3/router.proto',
  'envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto',
  'envoy/extensions/transport_sockets/tls/v3/tls.proto',
];

export const TYPES = {
  cluster: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
  endpoints: 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
  secret: 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
  listener: 'type.googleapis.com/envoy.config.listener.v3.Listener',
  routes: 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
} as const;
export type ResourceType = keyof typeof TYPES;
/** Clusters with their endpoints first, then who names them. */
const ORDER: readonly string[] = Object.values(TYPES);

/** `DeltaDiscoveryRequest` in proto3 JSON's spelling, as the official files decode it; absent = default. */
export interface DeltaRequest {
  readonly node: { readonly id: string; readonly user_agent_name: string } | null;
  readonly type_url: string;
  readonly resource_names_subscribe: readonly string[];
  readonly resource_names_unsubscribe: readonly string[];
  readonly initial_resource_versions: Readonly<Record<string, string>>;
  readonly response_nonce: string;
  readonly error_detail: { readonly code: number; readonly message: string } | null;
}

interface DeltaResponse {
  readonly type_url: string;
  readonly nonce: string;
  readonly resources: readonly {
    readonly name: string;
    readonly version: string;
    readonly resource?: object;
    readonly ttl?: { readonly seconds: number };
  }[];
  readonly removed_resources?: readonly string[];
}

type Call = ServerDuplexStream<DeltaRequest, DeltaResponse>;

/** What one stream of one client wants and has of one type. */
interface Subscription {
  wildcard: boolean;
  readonly names: Set<string>;
  readonly held: Map<string, string>;
}

interface Stream {
  readonly call: Call;
  readonly requests: DeltaRequest[];
  readonly subscriptions: Map<string, Subscription>;
  /** Of the latest response of each type. */
  readonly sentNonces: Map<string, string>;
}

/**
 * A delta ADS server that shares nothing with ours: the official proto files, read by proto-loader. It keeps resources as
 * JSON-like objects (`@type` inside an Any), versions them by content, and sends each client what it lacks.
 */
export class OfficialDeltaServer {
  readonly #resources = new Map<string, Map<string, { version: string; body: object }>>();
  readonly #service: ServiceClientConstructor['service'];
  #server = new Server();
  #nonces = 0;
  /** Answers a subscription to what does not exist by its removal (rule 8); else keeps silent until it does. */
  tellsOfAbsent = true;
  /** All streams of the running server, oldest first. */
  streams: Stream[] = [];
  port = 0;

  private constructor() {
    const definition = loadSync([ADS, ...MESSAGES], {
      includeDirs: [
        ...['envoy-api', 'xds', 'googleapis', 'protoc-gen-validate'].map((each) =>
          join(OFFICIAL, each),
        ),
        join(ROOT, 'node_modules/protobufjs'),
      ],
      keepCase: true,
      defaults: true,
      enums: String,
      longs: Number,
    });
    const { v3 } = ['envoy', 'service', 'discovery'].reduce<GrpcObject>(
      (object, name) => object[name] as GrpcObject,
      loadPackageDefinition(definition),
    );
    const ads = (v3 as GrpcObject)['AggregatedDiscoveryService'] as ServiceClientConstructor;
    this.#service = ads.service;
  }

  static async start(): Promise<OfficialDeltaServer> {
    const server = new OfficialDeltaServer();
    await server.#listen();
    return server;
  }

  /** Ends every stream without a word. */
  stop(): void {
    this.#server.forceShutdown();
  }

  /** On the same port, knowing nothing of former streams. */
  async restart(): Promise<void> {
    this.#server = new Server();
    this.streams = [];
    await this.#listen();
  }

  /** Adds or replaces. The resources of one call leave in one response a type. */
  set(type: ResourceType, resources: Readonly<Record<string, object>>): void {
    const typeUrl = TYPES[type];
    let ofType = this.#resources.get(typeUrl);
    if (ofType === undefined) {
      ofType = new Map();
      this.#resources.set(typeUrl, ofType);
    }
    for (const [name, body] of Object.entries(resources)) {
      const version = createHash('sha256').update(JSON.stringify(body)).digest('hex').slice(0, 8);
      ofType.set(name, { version, body: { '@type': typeUrl, ...body } });
    }
    this.#pushAll();
  }

  remove(type: ResourceType, name: string): void {
    this.#resources.get(TYPES[type])?.delete(name);
    this.#pushAll();
  }

  version(type: ResourceType, name: string): string | undefined {
    return this.#resources.get(TYPES[type])?.get(name)?.version;
  }

  /** Requests of the newest stream for a type, oldest first. */
  requests(type: ResourceType): readonly DeltaRequest[] {
    const requests = this.streams.at(-1)?.requests ?? [];
    return requests.filter(({ type_url }) => type_url === TYPES[type]);
  }

  /** Texts of the refusals on the newest stream. */
  refusals(type: ResourceType): readonly string[] {
    return this.requests(type).flatMap(({ error_detail }) =>
      error_detail === null ? [] : [error_detail.message],
    );
  }

  /** The latest response of a type on the newest stream has its answer. */
  isAnswered(type: ResourceType): boolean {
    const sent = this.streams.at(-1)?.sentNonces.get(TYPES[type]);
    return this.requests(type).some(({ response_nonce }) => response_nonce === sent);
  }

  /** Ends the newest stream with status OK, as a server does that sheds load. */
  endStream(): void {
    this.streams.at(-1)!.call.end();
  }

  /** As it stands, whatever the rules say; the nonce that the answer will carry. */
  sendRaw(type: ResourceType, response: Omit<DeltaResponse, 'type_url' | 'nonce'>): string {
    return this.#send(this.streams.at(-1)!, TYPES[type], response);
  }

  #send(
    { call, sentNonces }: Stream,
    typeUrl: string,
    response: Omit<DeltaResponse, 'type_url' | 'nonce'>,
  ): string {
    this.#nonces += 1;
    const nonce = `n${this.#nonces}`;
    sentNonces.set(typeUrl, nonce);
    call.write({ type_url: typeUrl, nonce, ...response });
    return nonce;
  }

  async #listen(): Promise<void> {
    const notServed = (call: { end(): void }) => call.end();
    this.#server.addService(this.#service, {
      StreamAggregatedResources: notServed,
      DeltaAggregatedResources: (call: Call) => this.#serve(call),
    });
    this.port = await new Promise((resolve, reject) => {
      const credentials = ServerCredentials.createInsecure();
      this.#server.bindAsync(`127.0.0.1:${this.port}`, credentials, (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
  }

  #serve(call: Call): void {
    const stream: Stream = {
      call,
      requests: [],
      subscriptions: new Map(),
      sentNonces: new Map(),
    };
    this.streams.push(stream);
    call.on('data', (request: DeltaRequest) => {
      stream.requests.push(request);
      this.#receive(stream, request);
    });
    call.on('error', () => {});
    call.on('end', () => call.end());
  }

  #receive(stream: Stream, request: DeltaRequest): void {
    const { type_url: typeUrl } = request;
    if (!ORDER.includes(typeUrl)) return;
    let subscription = stream.subscriptions.get(typeUrl);
    if (subscription === undefined) {
      subscription = {
        wildcard: request.resource_names_subscribe.length === 0,
        names: new Set(),
        held: new Map(Object.entries(request.initial_resource_versions)),
      };
      stream.subscriptions.set(typeUrl, subscription);
    }
    for (const name of request.resource_names_subscribe) {
      if (name === '*') subscription.wildcard = true;
      else subscription.names.add(name);
    }
    for (const name of request.resource_names_unsubscribe) {
      subscription.names.delete(name);
      subscription.held.delete(name);
    }
    const absent = request.resource_names_subscribe.filter(
      (name) => name !== '*' && this.#resources.get(typeUrl)?.has(name) !== true,
    );
    this.#push(stream, typeUrl, subscription, absent);
  }

  #pushAll(): void {
    for (const stream of this.streams) {
      for (const typeUrl of ORDER) {
        const subscription = stream.subscriptions.get(typeUrl);
        if (subscription !== undefined) this.#push(stream, typeUrl, subscription, []);
      }
    }
  }

  #push(
    stream: Stream,
    typeUrl: string,
    { wildcard, names, held }: Subscription,
    absent: readonly string[],
  ): void {
    const there = this.#resources.get(typeUrl) ?? new Map<string, never>();
    const lacking = [...there].filter(
      ([name, { version }]) => (wildcard || names.has(name)) && held.get(name) !== version,
    );
    const gone = [...held.keys()].filter((name) => !there.has(name));
    for (const [name, { version }] of lacking) held.set(name, version);
    for (const name of gone) held.delete(name);
    const removed = this.tellsOfAbsent ? [...new Set([...gone, ...absent])] : gone;
    if (lacking.length === 0 && removed.length === 0) return;
    this.#send(stream, typeUrl, {
      resources: lacking.map(([name, { version, body }]) => ({ name, version, resource: body })),
      removed_resources: removed,
    });
  }
}
