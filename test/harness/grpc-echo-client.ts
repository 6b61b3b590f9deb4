import { once } from 'node:events';
import {
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
  type StatusObject,
} from '@grpc/grpc-js';

/** A caller of `grpc-echo-app.ts` through whatever listens at `target`. */
export class GrpcEchoClient {
  readonly client: Client;

  /** `target`: `host:port` of who listens. */
  constructor(target: string, options: ChannelOptions = {}) {
    this.client = new Client(target, credentials.createInsecure(), {
      'grpc.max_receive_message_length': 16 << 20,
      'grpc.enable_retries': 0,
      ...options,
    });
  }

  unary(name: string, message: Buffer, options: UnaryOptions = {}): Promise<UnaryResult> {
    return new Promise((resolve) => {
      let head = new Metadata();
      const deadline =
        options.deadlineMs === undefined ? {} : { deadline: Date.now() + options.deadlineMs };
      let trailers = new Metadata();
      const call = this.client.makeUnaryRequest(
        path(name),
        same,
        same,
        message,
        options.metadata ?? new Metadata(),
        deadline,
        (error: ServiceError | null, value?: Buffer) =>
          setImmediate(() =>
            resolve({
              code: error?.code ?? 0,
              details: error?.details ?? '',
              message: value ?? null,
              head,
              trailers,
            }),
          ),
      );
      call.on('metadata', (metadata) => {
        head = metadata;
      });
      call.on('status', ({ metadata }: StatusObject) => {
        trailers = metadata;
      });
      options.onCall?.(() => call.cancel());
    });
  }

  collect(messages: readonly Buffer[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const call = this.client.makeClientStreamRequest(
        path('Collect'),
        same,
        same,
        (error: ServiceError | null, value?: Buffer) =>
          error === null ? resolve(String(value)) : reject(error),
      );
      for (const message of messages) call.write(message);
      call.end();
    });
  }

  /** One message and no end: the status that the server answers with all the same. */
  early(): Promise<number> {
    return new Promise((resolve) => {
      const call = this.client.makeClientStreamRequest(
        path('Early'),
        same,
        same,
        (error: ServiceError | null) => resolve(error?.code ?? 0),
      );
      call.write(Buffer.from('first'));
    });
  }

  stream(ask: string): ClientReadableStream<Buffer> {
    return this.client.makeServerStreamRequest(path('Stream'), same, same, Buffer.from(ask));
  }

  bidi(): ClientDuplexStream<Buffer, Buffer> {
    return this.client.makeBidiStreamRequest(path('Bidi'), same, same);
  }

  /**
   * One message and its answer at a time, `turns` times, then the end: the status code.
   * @throws where an answer is another
   */
  async turnByTurn(turns: number): Promise<number> {
    const call = this.bidi();
    for (let turn = 0; turn < turns; turn++) {
      call.write(Buffer.from(`turn ${turn}`));
      const [answer] = await once(call, 'data');
      if (String(answer) !== `turn ${turn}`) throw new Error(`turn ${turn}: ${answer}`);
    }
    const ended = once(call, 'status');
    call.end();
    call.resume();
    const [{ code }] = (await ended) as [StatusObject];
    return code;
  }

  close(): void {
    this.client.close();
  }
}

export interface UnaryOptions {
  readonly metadata?: Metadata;
  readonly deadlineMs?: number;
  /** Gets what cancels the call. */
  readonly onCall?: (cancel: () => void) => void;
}

export interface UnaryResult {
  readonly code: number;
  readonly details: string;
  readonly message: Buffer | null;
  readonly head: Metadata;
  readonly trailers: Metadata;
}

function path(name: string): string {
  return `/test.Echo/${name}`;
}

const same = (bytes: Buffer): Buffer => bytes;
