/** What discovery counts (OB-13). `type` is a label of `shortTypeLabel`. */
export interface DiscoveryMetrics {
  connected(change: 1 | -1): void;
  pushed(type: string): void;
  rejected(type: string): void;
  expiredNonce(type: string): void;
  /** A stream that was refused or reset, by gRPC status name. */
  streamFailed(status: string): void;
  /** Translation threw. */
  internalError(): void;
  converged(tookMs: number): void;
}
