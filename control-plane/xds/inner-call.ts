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
  readonly stream: InnerStream;
  /** Gives a message with the five bytes before it that say its length; may be missing. */
  serializeMessage?: (message: unknown) => Buffer;
}

/** An HTTP/2 stream, as far as it is used here. */
export interface InnerStream {
  close: (code: number) => void;
  write?: (bytes: Buffer, callback?: (error?: Error | null) => void) => boolean;
  /** Writes what waits in one go; null = one after the other. */
  _writev?: unknown;
}

interface Layer {
  readonly stream?: Partial<InnerStream>;
  readonly call?: unknown;
  readonly nextCall?: unknown;
}

/** Call, then one a server interceptor. */
const DEPTH_MAX = 8;
