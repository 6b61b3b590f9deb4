import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http2 from 'node:http2';

export interface Http2Response {
  readonly status: number;
  readonly headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader;
  readonly body: Buffer;
  readonly bodySha256: string;
  readonly trailers: http2.IncomingHttpHeaders;
}

export interface Http2Request {
  readonly body?: Uint8Array;
  readonly headers?: http2.OutgoingHttpHeaders;
  readonly trailers?: http2.OutgoingHttpHeaders;
}

/** One request of a session of `node:http2`; rejects where its stream is reset. */
export async function http2Exchange(
  session: http2.ClientHttp2Session,
  method: string,
  path: string,
  { body, headers = {}, trailers }: Http2Request = {},
): Promise<Http2Response> {
  const stream = session.request(
    { ':method': method, ':path': path, ...headers },
    { endStream: body === undefined, waitForTrailers: trailers !== undefined },
  );
  const chunks: Buffer[] = [];
  let got: Http2Response['headers'] = {};
  let end: http2.IncomingHttpHeaders = {};
  stream.on('response', (received) => {
    got = received;
  });
  stream.on('trailers', (received) => {
    end = received;
  });
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  if (trailers !== undefined) stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  if (body !== undefined) stream.end(body);
  await once(stream, 'close');
  if (stream.rstCode !== http2.constants.NGHTTP2_NO_ERROR) {
    throw new Error(`${method} ${path}: reset with ${stream.rstCode}`);
  }
  const whole = Buffer.concat(chunks);
  return {
    status: got[':status'] ?? 0,
    headers: got,
    body: whole,
    bodySha256: createHash('sha256').update(whole).digest('hex'),
    trailers: end,
  };
}
