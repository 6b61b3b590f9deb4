import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';

export interface GrpcHealthApp {
  readonly port: number;
  /** Answers from now on, by service: `HealthCheckResponse.ServingStatus`; another service is NOT_FOUND. */
  readonly statuses: Map<string, number>;
  /** Metadata `user-agent` of the last check. */
  readonly userAgent: () => string;
  close(): void;
}

const NOT_FOUND = 5;

/** A gRPC server with `grpc.health.v1.Health` on a free loopback port; `implementing: false` serves another service. */
export async function grpcHealthApp({ implementing = true } = {}): Promise<GrpcHealthApp> {
  const statuses = new Map([['', 1]]);
  let userAgent = '';
  const server = new Server();
  const path = implementing ? '/grpc.health.v1.Health/Check' : '/other.Service/Check';
  const check = (
    call: ServerUnaryCall<{ service: string }, number>,
    answer: sendUnaryData<number>,
  ): void => {
    userAgent = String(call.metadata.get('user-agent')[0]);
    const status = statuses.get(call.request.service);
    if (status === undefined) answer({ code: NOT_FOUND, details: 'unknown service' });
    else answer(null, status);
  };
  server.addService(
    {
      Check: {
        path,
        requestStream: false,
        responseStream: false,
        requestSerialize: () => Buffer.alloc(0),
        requestDeserialize: readService,
        responseSerialize: (status: number) => Buffer.of(0x08, status),
        responseDeserialize: () => 0,
      },
    },
    { Check: check },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return { port, statuses, userAgent: () => userAgent, close: () => server.forceShutdown() };
}

/** `HealthCheckRequest { string service = 1; }` of less than 128 bytes, read by hand: the proxy writes it by hand too. */
function readService(message: Buffer): { service: string } {
  if (message.length === 0) return { service: '' };
  if (message[0] !== 0x0a || message[1] !== message.length - 2) throw new Error('no request');
  return { service: message.subarray(2).toString() };
}
