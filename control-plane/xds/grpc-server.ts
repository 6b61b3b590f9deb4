import {
  logVerbosity,
  Server,
  type ServerCredentials,
  type ServiceDefinition,
  setLogVerbosity,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { formatListenAddress, type ListenAddress } from '../listen-address.ts';

export interface GrpcServerOptions {
  readonly listen: ListenAddress;
  readonly credentials: ServerCredentials;
  readonly services: readonly (readonly [ServiceDefinition, UntypedServiceImplementation])[];
  /** Milliseconds: when a connection is asked to come again, ± 10 % (rule 19). */
  readonly connectionAgeMs?: number;
}

export interface GrpcServer {
  readonly address: ListenAddress;
  /** Finishes what is in flight, at most `graceMs`. */
  close(graceMs: number): Promise<void>;
}

/** A gRPC server with every bound set (A6.2, A6.3). Rejects where it cannot listen. */
export async function createGrpcServer({
  listen,
  credentials,
  services,
  connectionAgeMs = CONNECTION_AGE_MS,
}: GrpcServerOptions): Promise<GrpcServer> {
  // Where it cannot listen it would write so itself, in its own words, beside our error.
  setLogVerbosity(logVerbosity.NONE);
  const server = new Server({
    'grpc.max_receive_message_length': REQUEST_BYTES_MAX,
    // A state-of-the-world response cannot be cut; a client sets its own limit.
    'grpc.max_send_message_length': -1,
    'grpc.max_concurrent_streams': STREAMS_PER_CONNECTION_MAX,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
    'grpc.max_connection_age_ms': connectionAgeMs,
    'grpc.max_connection_age_grace_ms': 10_000,
  });
  for (const [definition, implementation] of services) {
    server.addService(definition, implementation);
  }
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(formatListenAddress(listen), credentials, (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return {
    address: { host: listen.host, port },
    close: (graceMs) => close(server, graceMs),
  };
}

function close(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => server.forceShutdown(), graceMs);
    server.tryShutdown(() => {
      clearTimeout(force);
      resolve();
    });
  });
}

/** gRPC's default limit: a first request with the versions of a whole mesh stays below it. */
const REQUEST_BYTES_MAX = 4 * 1024 * 1024;
/** One discovery stream and a few certificate requests. */
const STREAMS_PER_CONNECTION_MAX = 100;
/** 30 minutes, as Istio. */
const CONNECTION_AGE_MS = 30 * 60_000;
