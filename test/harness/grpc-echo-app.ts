import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
} from '@grpc/grpc-js';

/** A gRPC server whose messages are plain bytes, so that a test needs no schema. */
export interface GrpcEchoApp {
  readonly port: number;
  /** Calls of each method that have begun. */
  readonly begun: Map<string, number>;
  /** Calls of `Hang` whose cancellation has reached the server. */
  readonly cancelled: () => number;
  /** Request metadata of the last unary call. */
  readonly seen: () => Metadata;
  /** The next calls of `Flaky` fail with these statuses. */
  readonly failures: Failure[];
  close(): void;
}

export interface Failure {
  readonly code: number;
  /** Sends its metadata first, so that the status comes in trailers; else Trailers-Only. */
  readonly inTrailers: boolean;
}

export const ECHO_METHODS = method({
  /** The message, with the metadata `x-answer` and `x-answer-bin` of the request in head and trailers. */
  Unary: [false, false],
  /** Count and bytes of the messages: `<count> <bytes>`. */
  Collect: [true, false],
  /** `<count> <bytes>` asks for as many messages of that size. */
  Stream: [false, true],
  /** Each message, as it comes. */
  Bidi: [true, true],
  /** Fails as soon as the first message is there. */
  Early: [true, false],
  /** Never answers. */
  Hang: [false, false],
  /** The message, unless `failures` says otherwise. */
  Flaky: [false, false],
});

function method(methods: Record<string, readonly [boolean, boolean]>): ServiceDefinition {
  const bytes = (message: Buffer) => message;
  return Object.fromEntries(
    Object.entries(methods).map(([name, [requestStream, responseStream]]) => [
      name,
      {
        path: `/test.Echo/${name}`,
        requestStream,
        responseStream,
        requestSerialize: bytes,
        requestDeserialize: bytes,
        responseSerialize: bytes,
        responseDeserialize: bytes,
      },
    ]),
  );
}

const MESSAGE_BYTES_MAX = 16 << 20;

export async function grpcEchoApp(): Promise<GrpcEchoApp> {
  const begun = new Map<string, number>();
  const failures: Failure[] = [];
  let cancelled = 0;
  let seen = new Metadata();
  const count = (name: string) => begun.set(name, (begun.get(name) ?? 0) + 1);
  const server = new Server({ 'grpc.max_receive_message_length': MESSAGE_BYTES_MAX });
  server.addService(ECHO_METHODS, {
    Unary(call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) {
      count('Unary');
      seen = call.metadata;
      const back = new Metadata();
      for (const name of ['x-answer', 'x-answer-bin']) {
        for (const value of call.metadata.get(name)) back.add(name, value);
      }
      call.sendMetadata(back);
      answer(null, call.request, back);
    },
    Collect(call: ServerReadableStream<Buffer, Buffer>, answer: sendUnaryData<Buffer>) {
      count('Collect');
      let messages = 0;
      let bytes = 0;
      call.on('data', (message: Buffer) => {
        messages++;
        bytes += message.length;
      });
      call.on('end', () => answer(null, Buffer.from(`${messages} ${bytes}`)));
    },
    Stream(call: ServerWritableStream<Buffer, Buffer>) {
      count('Stream');
      const [messages, bytes] = call.request.toString().split(' ').map(Number);
      const message = Buffer.alloc(bytes!, 'x');
      let left = messages!;
      const write = (): void => {
        while (left > 0) {
          left--;
          if (!call.write(message)) return void call.once('drain', write);
        }
        call.end();
      };
      write();
    },
    Bidi(call: ServerDuplexStream<Buffer, Buffer>) {
      count('Bidi');
      call.sendMetadata(new Metadata());
      call.on('data', (message: Buffer) => {
        if (!call.write(message)) {
          call.pause();
          call.once('drain', () => call.resume());
        }
      });
      call.on('end', () => call.end());
    },
    Early(call: ServerReadableStream<Buffer, Buffer>, answer: sendUnaryData<Buffer>) {
      count('Early');
      call.once('data', () => answer({ code: 11, details: 'enough' }));
    },
    Hang(call: ServerUnaryCall<Buffer, Buffer>) {
      count('Hang');
      call.on('cancelled', () => cancelled++);
    },
    Flaky(call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) {
      count('Flaky');
      seen = call.metadata;
      const failure = failures.shift();
      if (failure === undefined) return answer(null, call.request);
      if (failure.inTrailers) call.sendMetadata(new Metadata());
      answer({ code: failure.code, details: 'as asked' });
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return {
    port,
    begun,
    failures,
    cancelled: () => cancelled,
    seen: () => seen,
    close: () => server.forceShutdown(),
  };
}
