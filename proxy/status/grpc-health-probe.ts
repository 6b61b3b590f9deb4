import type { ClientHttp2Session } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { type AppAddress, bindFrom } from './app-address.ts';
import type { GrpcProber } from './app-prober.ts';
import { connectProblem, type ProbeOutcome, unwell, WELL } from './probe-outcome.ts';

/** Bytes of a `HealthCheckResponse` with its frame; a real one has seven. */
const RESPONSE_BYTES_MAX = 4096;
const MESSAGE_CHARS_MAX = 500;
/** `HealthCheckResponse.ServingStatus`. */
const STATUS_NAMES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];
const SERVING = 1;
const UNIMPLEMENTED = '12';

/**
 * Asks `grpc.health.v1.Health/Check` over plain text, as the kubelet does. By node:http2 and not by grpc-js, whose
 * channels cannot choose the address that they come from (`AppAddress.from`). Never rejects.
 */
export function probeByGrpcHealth(
  prober: GrpcProber,
  app: AppAddress,
  userAgent: string,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const { port, service, timeoutMs } = prober;
  // Loaded where it is needed: a pod without gRPC probes does not pay for it.
  const http2 = process.getBuiltinModule('node:http2');
  return new Promise((resolve) => {
    let session: ClientHttp2Session | null = null;
    const socket = connectTcp({ host: app.host, port, ...bindFrom(app) });
    const finish = (outcome: ProbeOutcome): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      session?.destroy();
      socket.destroy();
      resolve(outcome);
    };
    const failed = (why: string) => finish(unwell(`gRPC health of ${app.host}:${port}: ${why}`));
    const onError = (error: NodeJS.ErrnoException) => failed(connectProblem(error));
    const onAbort = () => failed('nobody waits for the answer');
    const timer = setTimeout(() => failed(`no answer within ${timeoutMs / 1000} s`), timeoutMs);
    signal.addEventListener('abort', onAbort, { once: true });
    socket.on('error', onError);
    socket.once('connect', () => {
      session = http2.connect(`http://${HOST_IN_URL}`, { createConnection: () => socket });
      session.on('error', onError);
      session.on('close', () => failed('the app closed the connection'));
      const stream = session.request({
        ':method': 'POST',
        ':path': '/grpc.health.v1.Health/Check',
        ':authority': app.host.includes(':') ? `[${app.host}]:${port}` : `${app.host}:${port}`,
        'content-type': 'application/grpc',
        te: 'trailers',
        'grpc-timeout': `${Math.ceil(timeoutMs)}m`,
        'user-agent': userAgent,
      });
      const chunks: Buffer[] = [];
      let bytes = 0;
      let grpcStatus = '';
      let message = '';
      const readStatus = (headers: NodeJS.Dict<unknown>): void => {
        grpcStatus = String(headers['grpc-status'] ?? grpcStatus);
        message = String(headers['grpc-message'] ?? message);
      };
      let httpStatus = 0;
      stream.on('response', (headers) => {
        httpStatus = headers[':status'] ?? 0;
        readStatus(headers); // an answer of trailers alone
      });
      stream.on('trailers', readStatus);
      stream.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        chunks.push(chunk);
        if (bytes > RESPONSE_BYTES_MAX) failed('the answer is too long for a health check');
      });
      stream.on('error', onError);
      stream.on('end', () => {
        if (httpStatus !== 200) failed(`HTTP status ${httpStatus}`);
        else if (grpcStatus === UNIMPLEMENTED) {
          failed('the server does not implement grpc.health.v1.Health');
        } else if (grpcStatus !== '0') {
          const words = message === '' ? '' : ` (${decodeMessage(message)})`;
          failed(`gRPC status ${grpcStatus || 'missing'}${words}`);
        } else {
          const status = servingStatus(Buffer.concat(chunks));
          if (status === SERVING) finish(WELL);
          else failed(STATUS_NAMES[status] ?? 'the answer is no HealthCheckResponse');
        }
      });
      stream.end(healthCheckRequest(service));
    });
  });
}

/** `grpc-message` is percent-encoded; what is not stays as it is. */
function decodeMessage(message: string): string {
  try {
    return decodeURIComponent(message.slice(0, MESSAGE_CHARS_MAX));
  } catch {
    return message.slice(0, MESSAGE_CHARS_MAX);
  }
}

/** The address stands in `:authority`; node:http2 wants a URL that it can parse. */
const HOST_IN_URL = 'app';

/**
 * A length-prefixed `HealthCheckRequest { string service = 1; }`:
 *
 *     0 | length, 4 bytes big-endian | 0x0a | varint length | service
 */
function healthCheckRequest(service: string): Buffer {
  const text = Buffer.from(service);
  const message =
    text.length === 0
      ? Buffer.alloc(0)
      : Buffer.concat([Buffer.of(0x0a), varint(text.length), text]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** `HealthCheckResponse { ServingStatus status = 1; }`; -1 for anything else. Absent = 0, as always in proto3. */
function servingStatus(frame: Buffer): number {
  if (frame.length < 5 || frame[0] !== 0 || frame.readUInt32BE(1) !== frame.length - 5) return -1;
  if (frame.length === 5) return 0;
  return frame[5] === 0x08 && frame.length === 7 ? frame[6]! : -1;
}
