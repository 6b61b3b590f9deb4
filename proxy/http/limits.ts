/**
 * Bounds on what one HTTP peer may make us hold. Built by the configuration compilers (or
 * `httpLimits` in tests), frozen, shared by every connection of a listener or cluster.
 */
export interface HttpLimits {
  /**
   * Bytes of a message head: start line, field lines and the empty line. `max_request_headers_kb`
   * × 1024, default 60 KiB (PR-14). Stops endless heads. Downstream 431, upstream protocol error.
   */
  readonly headBytesMax: number;
  /** Field lines in a head, `max_headers_count`, default 100. Stops header bombs (A2.12): 431. */
  readonly headerCountMax: number;
  /**
   * Bytes of the start line. By default as much as the whole head (PR-14: a long URL is part of the
   * header limit); where it is set lower, a longer request line is answered 414 (RFC 9112 §3).
   */
  readonly startLineBytesMax: number;
  /** Bytes of the extensions of one chunk, default 4 KiB. Stops endless chunk-size lines: 400. */
  readonly chunkExtensionBytesMax: number;
  /** Bytes of a trailer section, default 60 KiB (A3.4). */
  readonly trailerBytesMax: number;
  /** Field lines in a trailer section, default 100. */
  readonly trailerCountMax: number;
  /** Interim (1xx) responses before the final one, default 16. Stops endless 1xx (A3.4). */
  readonly informationalCountMax: number;
  /**
   * Bytes received behind an unanswered request and held, default 1 MiB. The transport is paused at
   * the first such byte, so only what it had already read can add up; beyond it the connection is cut.
   */
  readonly pipelinedBytesMax: number;
}

const KIB = 1024;

export const DEFAULT_HTTP_LIMITS: HttpLimits = Object.freeze({
  headBytesMax: 60 * KIB,
  headerCountMax: 100,
  startLineBytesMax: 60 * KIB,
  chunkExtensionBytesMax: 4 * KIB,
  trailerBytesMax: 60 * KIB,
  trailerCountMax: 100,
  informationalCountMax: 16,
  pipelinedBytesMax: 1024 * KIB,
});

/** The defaults with some of them replaced, frozen. */
export function httpLimits(overrides: Partial<HttpLimits> = {}): HttpLimits {
  return Object.freeze({ ...DEFAULT_HTTP_LIMITS, ...overrides });
}
