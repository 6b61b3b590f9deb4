/**
 * The innermost part of a gRPC call, which owns the HTTP/2 stream. gRPC for Node does not offer it; null where its insides
 * have changed, and callers must do without.
 */
export function innerCall(call: object): InnerCall | null {
  let inner: unknown = call;
  for (let depth = 0; depth < DEPTH_MAX; depth++) {
    if (typeof inner !== 'object' || inner === null) return null;
    const { stream, call: next, nextCall } = inner as Layer;
    if (typeof stream?.close === 'function') return inner as InnerCall;
    inner = next ?? nextCall;
  }
  return null;
}

export interface InnerCall {
  readonly stream: { close: (code: number) => void };
  /** Gives a message with the five bytes before it that say its length; may be missing. */
  serializeMessage?: (message: unknown) => Buffer;
}

interface Layer {
  readonly stream?: { close?: (code: number) => void };
  readonly call?: unknown;
  readonly nextCall?: unknown;
}

/** Call, then one a server interceptor. */
const DEPTH_MAX = 8;
