import { Base64Decoder, Base64Encoder } from '../http/base64-stream.ts';
import { isGrpcContent } from '../http/grpc-content-type.ts';
import { GrpcMessageScanner } from '../http/grpc-message-scanner.ts';
import { encodeGrpcMessage, grpcStatusOfHttp } from '../http/grpc-status.ts';
import {
  type HeaderBlock,
  hasHeader,
  headerValue,
  removeHeader,
  setHeader,
} from '../http/header-block.ts';
import type { RequestHead, ResponseHead } from '../http/message.ts';
import {
  type BodyFilter,
  type FilterContext,
  FilterResult,
  type HttpFilter,
  type HttpFilterFactory,
} from './http-filter.ts';

/**
 * envoy.filters.http.grpc_web (PR-08): gRPC-Web of browsers, which see no trailers, to gRPC and back (gRPC
 * PROTOCOL-WEB). Requests of other types pass. What the browser may read is the CORS policy's business.
 *
 *     application/grpc-web[+proto]        the frames of gRPC; after the last message 0x80, u32 length, the trailers
 *     application/grpc-web-text[+proto]   the same in base64
 */
export class GrpcWebFilterFactory implements HttpFilterFactory {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  create(context: FilterContext): HttpFilter | null {
    const kind = GRPC_WEB_TYPES.get(mediaType(context.head, 'content-type'));
    return kind === undefined ? null : new GrpcWeb(context, kind === 'text');
  }
}

const GRPC_WEB_TYPES: ReadonlyMap<string, 'binary' | 'text'> = new Map([
  ['application/grpc-web', 'binary'],
  ['application/grpc-web+proto', 'binary'],
  ['application/grpc-web-text', 'text'],
  ['application/grpc-web-text+proto', 'text'],
]);

function mediaType({ headers }: RequestHead, field: string): string {
  const value = headerValue(headers, field);
  const end = value.indexOf(';');
  return (end < 0 ? value : value.slice(0, end)).trimEnd().toLowerCase();
}

class GrpcWeb implements HttpFilter, BodyFilter {
  readonly body = this;
  readonly #context: FilterContext;
  /** Null where the request is binary. */
  readonly #decoder: Base64Decoder | null;
  /** Null where the response is to be binary. */
  readonly #encoder: Base64Encoder | null;
  /** Where messages end, so that no byte of one is held back there. */
  readonly #messages = new GrpcMessageScanner();
  /** The response is not gRPC: its body means nothing to the client. */
  #drops = false;

  constructor(context: FilterContext, textRequest: boolean) {
    this.#context = context;
    this.#decoder = textRequest ? new Base64Decoder() : null;
    const accepted = GRPC_WEB_TYPES.get(mediaType(context.head, 'accept'));
    this.#encoder = accepted === 'text' ? new Base64Encoder() : null;
  }

  onRequest(): FilterResult {
    const { head, record } = this.#context;
    const { headers } = head;
    record.grpc = true;
    setHeader(headers, 'content-type', 'application/grpc');
    setHeader(headers, 'te', 'trailers');
    if (!hasHeader(headers, 'grpc-accept-encoding')) {
      setHeader(headers, 'grpc-accept-encoding', 'identity');
    }
    removeHeader(headers, 'content-length');
    head.contentLength = -1;
    return FilterResult.Continue;
  }

  onRequestData(chunk: Buffer, endStream: boolean): Buffer {
    const decoder = this.#decoder;
    if (decoder === null) return chunk;
    const decoded = decoder.decode(chunk);
    if (decoded !== null && (!endStream || decoder.complete)) return decoded;
    this.#context.answer({
      kind: 'badRequestBody',
      details:
        decoded === null ? 'grpc_base_64_decode_failed' : 'grpc_base_64_decode_failed_bad_size',
      text: 'Bad gRPC-web request, invalid base64 data.',
    });
    return NO_BYTES;
  }

  onResponse(head: ResponseHead): void {
    const { headers } = head;
    removeHeader(headers, 'content-length');
    head.contentLength = -1;
    if (head.status !== 200 || !isGrpcContent(headers)) {
      // An answer of something on the way. Its status becomes the call's; its body could not be told from messages.
      this.#drops = true;
      const status = grpcStatusOfHttp(head.status);
      this.#context.record.grpcStatus = status;
      setHeader(headers, 'grpc-status', String(status));
      setHeader(headers, 'grpc-message', encodeGrpcMessage(`HTTP status ${head.status}`));
    }
    const text = this.#encoder === null ? '' : '-text';
    setHeader(headers, 'content-type', `application/grpc-web${text}+proto`);
  }

  onResponseData(chunk: Buffer, endStream: boolean): Buffer {
    if (this.#drops) return NO_BYTES;
    if (this.#encoder === null) return chunk;
    this.#messages.scan(chunk);
    return this.#encoder.encode(chunk, endStream || this.#messages.atBoundary);
  }

  onResponseTrailers(trailers: HeaderBlock): Buffer {
    if (this.#drops) return NO_BYTES;
    const frame = trailerFrame(trailers);
    return this.#encoder === null ? frame : this.#encoder.encode(frame, true);
  }

  destroy(): void {}
}

/** `0x80`, length, then the trailers as HTTP/1.1 writes fields. */
function trailerFrame(trailers: HeaderBlock): Buffer {
  let text = '';
  for (let at = 0; at < trailers.length; at += 2)
    text += `${trailers[at]!}:${trailers[at + 1]!}\r\n`;
  const frame = Buffer.allocUnsafe(5 + text.length);
  frame[0] = 0x80;
  frame.writeUInt32BE(text.length, 1);
  frame.write(text, 5, 'latin1');
  return frame;
}

const NO_BYTES = Buffer.alloc(0);
