import { constants } from 'node:http2';

/**
 * Cuts a call's HTTP/2 stream at once. A gRPC status is queued behind the data before it, so that a client that reads
 * nothing would never be rid of, nor its memory. gRPC for Node has no public way for this; where its insides have
 * changed, the stream ends with its connection's age instead (a test tells).
 */
export function resetCall(call: object): boolean {
  let inner: unknown = call;
  for (let depth = 0; depth < DEPTH_MAX; depth++) {
    if (typeof inner !== 'object' || inner === null) return false;
    const { stream, call: next, nextCall } = inner as Inside;
    if (typeof stream?.close === 'function') {
      stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      return true;
    }
    inner = next ?? nextCall;
  }
  return false;
}

interface Inside {
  readonly stream?: { close?: (code: number) => void };
  readonly call?: unknown;
  readonly nextCall?: unknown;
}

/** Call, then one a server interceptor. */
const DEPTH_MAX = 8;
