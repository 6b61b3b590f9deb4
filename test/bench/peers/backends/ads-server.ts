import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { packAny } from '../../../../proto/any.ts';
import { AggregatedDiscoveryServiceService } from '../../../../proto/gen/envoy/service/discovery/v3/ads.ts';
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  Resource,
} from '../../../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import { readJson } from '../../../../proto/json.ts';
import {
  TYPE_CLUSTER,
  TYPE_ENDPOINT,
  TYPE_LISTENER,
  TYPE_ROUTE,
} from '../../../../proto/type-urls.ts';
import type { Bench } from '../bench.ts';

/** Resources of one type by name. */
export type Resources = ReadonlyMap<string, Resource>;
/** By type URL. */
export type Mesh = ReadonlyMap<string, Resources>;

const MESSAGE_OF = {
  [TYPE_CLUSTER]: 'envoy.config.cluster.v3.Cluster',
  [TYPE_ENDPOINT]: 'envoy.config.endpoint.v3.ClusterLoadAssignment',
  [TYPE_LISTENER]: 'envoy.config.listener.v3.Listener',
  [TYPE_ROUTE]: 'envoy.config.route.v3.RouteConfiguration',
} as const;
/** Make before break. */
const PUSH_ORDER = [TYPE_CLUSTER, TYPE_ENDPOINT, TYPE_LISTENER, TYPE_ROUTE] as const;
type TypeUrl = (typeof PUSH_ORDER)[number];

/** JSON of Envoy's API as a resource. @throws {Error} where it is none */
export function resource(typeUrl: TypeUrl, name: string, version: string, json: object): Resource {
  const read = readJson(MESSAGE_OF[typeUrl], json);
  if (read.problems.length > 0) throw new Error(`${name}: ${JSON.stringify(read.problems[0])}`);
  const packed = packAny(typeUrl as typeof TYPE_CLUSTER, read.message as never);
  return Resource.create({ name, version, resource: packed });
}

export function meshOf(resources: readonly (readonly [TypeUrl, readonly Resource[]])[]): Mesh {
  return new Map(
    resources.map(([type, list]) => [type, new Map(list.map((one) => [one.name, one]))] as const),
  );
}

type Call = ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

/** One client's stream: what it asked for, and the answers that it still owes an ACK for. */
class AdsStream {
  readonly #call: Call;
  /** Null: all of the type. */
  readonly #wanted = new Map<string, Set<string> | null>();
  #mesh: Mesh;
  #nonce = 0;

  readonly #onRefusal: (why: string) => void;

  constructor(call: Call, mesh: Mesh, onRefusal: (why: string) => void) {
    this.#onRefusal = onRefusal;
    this.#call = call;
    this.#mesh = mesh;
    call.on('data', (request: DeltaDiscoveryRequest) => this.#onRequest(request));
    call.on('error', () => {});
    call.on('end', () => call.end());
  }

  /** Sends all of a new mesh that this client has asked for. */
  push(mesh: Mesh): void {
    this.#mesh = mesh;
    for (const type of PUSH_ORDER) {
      const wanted = this.#wanted.get(type);
      if (wanted !== undefined) this.#send(type, wanted === null ? null : [...wanted]);
    }
  }

  #onRequest(request: DeltaDiscoveryRequest): void {
    const { typeUrl, resourceNamesSubscribe: names, responseNonce } = request;
    if (request.errorDetail !== undefined) {
      this.#onRefusal(`${typeUrl}: ${request.errorDetail.message}`);
    }
    const wanted = this.#wanted.get(typeUrl);
    if (wanted === undefined) {
      const all = names.length === 0 || names.includes('*');
      if (responseNonce !== '') return;
      this.#wanted.set(typeUrl, all ? null : new Set(names));
      this.#send(typeUrl, all ? null : names);
    } else if (wanted !== null && names.length > 0) {
      for (const name of names) wanted.add(name);
      this.#send(typeUrl, names);
    }
  }

  #send(typeUrl: string, names: readonly string[] | null): void {
    const all = this.#mesh.get(typeUrl) ?? new Map<string, Resource>();
    const resources =
      names === null ? [...all.values()] : names.flatMap((name) => all.get(name) ?? []);
    this.#nonce += 1;
    const nonce = `${this.#nonce}`;
    this.#call.write(
      DeltaDiscoveryResponse.create({ typeUrl, resources, nonce, systemVersionInfo: nonce }),
    );
  }
}

/** A control plane that knows nothing but what it is told to push: delta ADS in clear text on loopback. */
export class AdsServer {
  readonly port: number;
  /** What clients have refused, and why. */
  readonly refusals: string[];
  readonly #streams: AdsStream[];
  readonly #current: { mesh: Mesh };

  private constructor(
    port: number,
    streams: AdsStream[],
    current: { mesh: Mesh },
    refusals: string[],
  ) {
    this.port = port;
    this.refusals = refusals;
    this.#streams = streams;
    this.#current = current;
  }

  static async start(bench: Bench): Promise<AdsServer> {
    const server = new Server({
      'grpc.max_send_message_length': -1,
      'grpc.max_receive_message_length': -1,
    });
    const streams: AdsStream[] = [];
    const refusals: string[] = [];
    const current = { mesh: new Map() as Mesh };
    server.addService(AggregatedDiscoveryServiceService, {
      deltaAggregatedResources: (call: Call) => {
        streams.push(new AdsStream(call, current.mesh, (why) => refusals.push(why)));
      },
      streamAggregatedResources: (call: Call) => call.end(),
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    bench.scope.defer(() => server.forceShutdown());
    return new AdsServer(port, streams, current, refusals);
  }

  /** What every stream has asked for, of this mesh; later streams start with it. */
  push(mesh: Mesh): void {
    this.#current.mesh = mesh;
    for (const stream of this.#streams) stream.push(mesh);
  }
}
