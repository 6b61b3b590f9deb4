import {
  connect,
  constants,
  createServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';

/** gRPC with nothing between the test and the frames: what each side really sees. */

/**
 * A server that answers every call with one message: its request's fields and body as JSON. By path: `…/hang` never
 * answers, `…/status/N` fails Trailers-Only, `…/late/N` in trailers after the head, `…/http/N` is no gRPC.
 */
export async function rawGrpcApp(): Promise<{ port: number; close(): void }> {
  const server = createServer();
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on('error', () => {});
    const path = headers[':path'] ?? '';
    const [, kind = '', number = ''] = /\/(status|late|http|hang)\/?(\d*)$/.exec(path) ?? [];
    const type = { 'content-type': 'application/grpc' };
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      if (stream.destroyed) return;
      switch (kind) {
        case 'hang':
          return;
        case 'status':
          stream.respond({ ...type, 'grpc-status': number, 'grpc-message': 'as asked' }, END);
          return;
        case 'http':
          stream.respond({ ':status': Number(number), 'content-type': 'text/plain' });
          stream.end('no gRPC');
          return;
        default: {
          const status = kind === 'late' ? number : '0';
          stream.respond(type, { waitForTrailers: true });
          stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status }));
          const body = Buffer.concat(chunks).toString('latin1');
          if (kind === 'late') stream.end();
          else stream.end(grpcMessage(JSON.stringify({ headers, body })));
        }
      }
    });
  });
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session: ServerHttp2Session) => {
    sessions.add(session);
    session.on('error', () => {});
    session.on('close', () => sessions.delete(session));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      for (const session of sessions) session.destroy();
      server.close();
    },
  };
}

const END = { endStream: true };

export interface RawAnswer {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly trailers: IncomingHttpHeaders;
  /** Name of the error code of a reset, or ''. */
  readonly reset: string;
}

/** One call on a connection of its own. */
export async function rawGrpcCall(
  port: number,
  path: string,
  fields: OutgoingHttpHeaders,
  body: Buffer,
): Promise<RawAnswer> {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  try {
    return await new Promise<RawAnswer>((resolve, reject) => {
      const stream = session.request({ ':method': 'POST', ':path': path, ...fields });
      let headers: IncomingHttpHeaders = {};
      let trailers: IncomingHttpHeaders = {};
      const chunks: Buffer[] = [];
      stream.on('response', (given) => {
        headers = given;
      });
      stream.on('trailers', (given) => {
        trailers = given;
      });
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('error', () => {});
      stream.on('close', () =>
        resolve({
          headers,
          trailers,
          body: Buffer.concat(chunks),
          reset: codeName(stream.rstCode),
        }),
      );
      session.on('close', () => reject(new Error('the connection ended')));
      stream.end(body);
    });
  } finally {
    session.destroy();
  }
}

export function grpcMessage(text: string): Buffer {
  const bytes = Buffer.from(text);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

function codeName(code: number | undefined): string {
  if (code === undefined || code === constants.NGHTTP2_NO_ERROR) return '';
  const found = Object.entries(constants).find(
    ([name, value]) =>
      value === code && /^NGHTTP2_(CANCEL|[A-Z_]+_ERROR|REFUSED_STREAM)$/.test(name),
  );
  return found?.[0] ?? String(code);
}
