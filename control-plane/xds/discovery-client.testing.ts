import {
  type ChannelCredentials,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { AggregatedDiscoveryServiceClient } from '../../proto/gen/envoy/service/discovery/v3/ads.ts';
import {
  DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  DiscoveryRequest,
  type DiscoveryResponse,
} from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';

/** A discovery client for tests: says what it is told, keeps what it hears, waits for conditions. */
export class DiscoveryClient<Request, Response> {
  readonly responses: Response[] = [];
  error: ServiceError | null = null;
  isEnded = false;
  readonly #stream: ClientDuplexStream<Request, Response>;
  readonly #create: (request: never) => Request;
  readonly #close: () => void;
  readonly #waiting = new Set<() => void>();

  constructor(
    stream: ClientDuplexStream<Request, Response>,
    create: (request: never) => Request,
    close: () => void,
  ) {
    this.#stream = stream;
    this.#create = create;
    this.#close = close;
    stream.on('data', (response: Response) => this.#note(() => this.responses.push(response)));
    stream.on('error', (error: ServiceError) => this.#note(() => (this.error = error)));
    stream.on('end', () => this.#note(() => (this.isEnded = true)));
  }

  send(request: Partial<Request>): this {
    this.#stream.write(this.#create(request as never));
    return this;
  }

  /** The first response not yet taken that `matches`; waits for it. */
  async take(matches: (response: Response) => boolean): Promise<Response> {
    await this.until(() => this.error !== null || this.responses.some(matches));
    if (this.error !== null) throw this.error;
    const at = this.responses.findIndex(matches);
    return this.responses.splice(at, 1)[0]!;
  }

  async ended(): Promise<ServiceError> {
    await this.until(() => this.error !== null);
    return this.error!;
  }

  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = () => {
        if (!condition()) return;
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
      check();
    });
  }

  /** Half-close: the client is done. */
  end(): void {
    this.#stream.end();
  }

  close(): void {
    this.#stream.cancel();
    this.#close();
  }

  #note(change: () => void): void {
    change();
    for (const check of [...this.#waiting]) check();
  }
}

/** Node.js takes no IP address as TLS server name. */
export const TARGET_NAME = { 'grpc.ssl_target_name_override': 'localhost' } as const;

export interface Connection {
  readonly address: string;
  readonly credentials?: ChannelCredentials;
  /** Bearer token, or none. */
  readonly token?: string;
}

export function deltaClient({ address, credentials: secure, token }: Connection) {
  const client = new AggregatedDiscoveryServiceClient(
    address,
    secure ?? credentials.createInsecure(),
    TARGET_NAME,
  );
  const stream = client.deltaAggregatedResources(metadataOf(token));
  return new DiscoveryClient<DeltaDiscoveryRequest, DeltaDiscoveryResponse>(
    stream,
    (request) => DeltaDiscoveryRequest.create(request),
    () => client.close(),
  );
}

export function sotwClient({ address, credentials: secure, token }: Connection) {
  const client = new AggregatedDiscoveryServiceClient(
    address,
    secure ?? credentials.createInsecure(),
    TARGET_NAME,
  );
  const stream = client.streamAggregatedResources(metadataOf(token));
  return new DiscoveryClient<DiscoveryRequest, DiscoveryResponse>(
    stream,
    (request) => DiscoveryRequest.create(request),
    () => client.close(),
  );
}

function metadataOf(token: string | undefined): Metadata {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}
