import type { HeaderBlock } from '../http/header-block.ts';
import type { ResponseHead } from '../http/message.ts';
import { type RequestRecord, ResponseFlag } from '../observe/request-record.ts';
import type { Cluster } from '../upstream/upstream.ts';
import type { UpstreamResetReason } from './outcome.ts';
import { ANY_GRPC } from './retry-on.ts';
import {
  backoffMs,
  retriesPerTryTimeout,
  retriesReset,
  retriesResponse,
  retriesTrailers,
} from './retry-policy.ts';
import type { RetryPolicyConfig } from './route-config.ts';

/**
 * How much of its retry policy one request has used, and its place in the cluster's budget of retries (RS-01, RS-02, RS-13).
 * It knows neither streams nor timers: the router asks whether what happened is to be repeated, then for the next try.
 */
export class RetryState {
  /** Tries after the first one so far. */
  done = 0;
  readonly #policy: RetryPolicyConfig | null;
  readonly #cluster: Cluster;
  readonly #record: RequestRecord;
  #left: number;
  #holdsBudget = false;

  constructor(policy: RetryPolicyConfig | null, cluster: Cluster, record: RequestRecord) {
    this.#policy = policy;
    this.#cluster = cluster;
    this.#record = record;
    this.#left = policy === null ? 0 : policy.retriesMax;
  }

  /** Another try is possible, if something happens that the policy repeats. */
  get possible(): boolean {
    return this.#policy !== null && this.#policy.retryOn !== 0 && this.#left > 0;
  }

  /** A gRPC status decides: about another try, or that the last one is used up. */
  get awaitsGrpcStatus(): boolean {
    return this.#policy !== null && (this.#policy.retryOn & ANY_GRPC) !== 0;
  }

  repeatsResponse(head: ResponseHead): boolean {
    return this.#policy !== null && retriesResponse(this.#policy, head);
  }

  /** `head` has not been passed on. */
  repeatsTrailers(head: ResponseHead, trailers: HeaderBlock): boolean {
    return this.#policy !== null && retriesTrailers(this.#policy, head, trailers);
  }

  repeatsReset(reason: UpstreamResetReason, requestSent: boolean): boolean {
    return this.#policy !== null && retriesReset(this.#policy, reason, requestSent);
  }

  repeatsPerTryTimeout(): boolean {
    return this.#policy !== null && retriesPerTryTimeout(this.#policy);
  }

  /**
   * Milliseconds until one more try, at least 1; -1 (and the flag that says why) where there is none left, or the
   * request cannot be said again. `draw` in [0, 1).
   */
  next(repeatable: boolean, draw: number): number {
    this.release();
    if (this.#left === 0) {
      this.#cluster.countEvent('retryLimitExceeded');
      this.#record.flags |= ResponseFlag.URX;
      return -1;
    }
    if (!repeatable) return -1;
    this.#left--;
    if (!this.#cluster.tryRetry()) {
      this.#record.flags |= ResponseFlag.UO;
      return -1;
    }
    this.#holdsBudget = true;
    this.done++;
    return Math.max(1, backoffMs(this.#policy!, this.done, draw));
  }

  /** The try under way is the last one: the client has seen part of an answer. */
  giveUp(): void {
    this.#left = 0;
  }

  /** A response that is not repeated. */
  onAccepted(): void {
    if (this.done > 0) this.#cluster.countEvent('retrySuccess');
  }

  /** Gives the place in the budget back; no effect without one. */
  release(): void {
    if (!this.#holdsBudget) return;
    this.#holdsBudget = false;
    this.#cluster.endRetry();
  }
}
