/**
 * Bounds certificate signing (A6.7, F12): a token bucket for each identity, and one for all. Renewals may use the
 * whole of the common bucket, first issues only its upper half, so that a storm of newcomers never lets a running
 * workload's certificate expire. Buckets of identities that are full again are forgotten.
 */
export class IssueRateLimit {
  readonly #perIdentity: BucketSize;
  readonly #common: Bucket;
  readonly #commonSize: BucketSize;
  readonly #buckets = new Map<string, Bucket>();
  readonly #now: () => number;

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number, perIdentity = PER_IDENTITY, common = COMMON) {
    this.#now = now;
    this.#perIdentity = perIdentity;
    this.#commonSize = common;
    this.#common = { tokens: common.burst, atMs: now() };
  }

  /** True: sign. False: RESOURCE_EXHAUSTED. */
  take(identity: string, renewal: boolean): boolean {
    const nowMs = this.#now();
    if (this.#buckets.size >= IDENTITIES_MAX) this.#forgetFull(nowMs);
    let bucket = this.#buckets.get(identity);
    if (bucket === undefined) {
      bucket = { tokens: this.#perIdentity.burst, atMs: nowMs };
      this.#buckets.set(identity, bucket);
    }
    refill(bucket, this.#perIdentity, nowMs);
    refill(this.#common, this.#commonSize, nowMs);
    const reserve = renewal ? 0 : this.#commonSize.burst / 2;
    if (bucket.tokens < 1 || this.#common.tokens < reserve + 1) return false;
    bucket.tokens -= 1;
    this.#common.tokens -= 1;
    return true;
  }

  #forgetFull(nowMs: number): void {
    for (const [identity, bucket] of this.#buckets) {
      refill(bucket, this.#perIdentity, nowMs);
      if (bucket.tokens >= this.#perIdentity.burst) this.#buckets.delete(identity);
    }
    // Every bucket in use: a flood of identities; the oldest goes.
    const oldest = this.#buckets.keys().next();
    if (this.#buckets.size >= IDENTITIES_MAX && !oldest.done) this.#buckets.delete(oldest.value);
  }
}

interface Bucket {
  tokens: number;
  atMs: number;
}

export interface BucketSize {
  readonly perSecond: number;
  readonly burst: number;
}

function refill(bucket: Bucket, size: BucketSize, nowMs: number): void {
  bucket.tokens = Math.min(
    size.burst,
    bucket.tokens + ((nowMs - bucket.atMs) / 1000) * size.perSecond,
  );
  bucket.atMs = nowMs;
}

/** A workload has many replicas: 20 at once, 2 a second after that. */
const PER_IDENTITY: BucketSize = { perSecond: 2, burst: 20 };
/** Signing costs about 5 ms: 50 a second leave three quarters of a core. */
const COMMON: BucketSize = { perSecond: 50, burst: 400 };
const IDENTITIES_MAX = 10_000;
