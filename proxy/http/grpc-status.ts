import { type HeaderBlock, headerValue } from './header-block.ts';

/** Between HTTP and gRPC status (TM-06; gRPC "HTTP to gRPC Status Code Mapping", and Envoy's way back). */

const UNKNOWN = 2;

/** The `grpc-status` that a local reply of an HTTP status becomes. */
export function grpcStatusOfHttp(status: number): number {
  switch (status) {
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return UNKNOWN;
  }
}

/** The HTTP status that stands for a `grpc-status`; 500 for one that has no better. */
export function httpStatusOfGrpc(grpcStatus: number): number {
  return HTTP_OF_GRPC[grpcStatus] ?? 500;
}

/** The HTTP status that the end of a gRPC call stands for: that of its `grpc-status`, 500 where it has none. */
export function httpStatusOfGrpcEnd(block: HeaderBlock): number {
  return httpStatusOfGrpc(parseGrpcStatus(headerValue(block, 'grpc-status')));
}

const HTTP_OF_GRPC: readonly number[] = [
  200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401,
];

/** `grpc-message` (percent-encoded as gRPC over HTTP/2 defines it). */
export function encodeGrpcMessage(text: string): string {
  let out = '';
  for (const byte of Buffer.from(text)) {
    if (byte >= 0x20 && byte < 0x7f && byte !== 0x25) out += String.fromCharCode(byte);
    else out += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

/** A `grpc-status` field, -1 where it is absent or no number. */
export function parseGrpcStatus(value: string): number {
  return value !== '' && /^[0-9]{1,3}$/.test(value) ? Number(value) : -1;
}
