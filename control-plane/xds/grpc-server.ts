import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import {
  logVerbosity,
  Server,
  type ServerCredentials,
  type ServiceDefinition,
  setLogVerbosity,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { ListenAddress } from '../listen-address.ts';
import { afterFirstBytes } from './first-bytes.ts';

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

/** A gRPC server with every bound set (A6.2, A6.3). Rejects with the socket's error where it cannot listen. */
export async function createGrpcServer({
  listen,
  credentials,
  services,
  connectionAgeMs = CONNECTION_AGE_MS,
}: GrpcServerOptions): Promise<GrpcServer> {
  // It would write to stderr in its own words, beside our log.
  setLogVerbosity(logVerbosity.NONE);
  const server = new Server({
    // Counts by connection and call, which nothing here serves, and memory for each.
    'grpc.enable_channelz': 0,
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
  const injector = server.createConnectionInjector(credentials);
  const connections = new Set<Socket>();
  const listener = createServer((socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
    afterFirstBytes(socket, FIRST_BYTES_MS, (ready) => {
      if (listener.listening) injector.injectConnection(ready);
      else ready.destroy();
    });
  });
  listener.listen({ host: listen.host, port: listen.port });
  try {
    await once(listener, 'listening'); // rejects with the listener's error
  } catch (error) {
    server.forceShutdown(); // the credentials are watched no more
    throw error;
  }
  const { port } = listener.address() as AddressInfo;
  return {
    address: { host: listen.host, port },
    async close(graceMs) {
      // gRPC's own way to force needs the counts that are switched off.
      const force = setTimeout(() => {
        for (const socket of connections) socket.destroy();
      }, graceMs);
      const closed = once(listener, 'close');
      listener.close();
      await Promise.all([closed, new Promise<unknown>((resolve) => server.tryShutdown(resolve))]);
      clearTimeout(force);
    },
  };
}

/** gRPC's default limit: a first request with the versions of a whole mesh stays below it. */
const REQUEST_BYTES_MAX = 4 * 1024 * 1024;
/** One discovery stream and a few certificate requests. */
const STREAMS_PER_CONNECTION_MAX = 100;
/** 30 minutes, as Istio. */
const CONNECTION_AGE_MS = 30 * 60_000;
/** Milliseconds that a new connection may say nothing. */
const FIRST_BYTES_MS = 10_000;
