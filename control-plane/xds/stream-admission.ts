import type { Clock } from '../clock.ts';

export interface AdmissionOptions {
  /** Streams of one identity at a time: one a replica, and as many while they reconnect (A6.2). */
  readonly streamsPerIdentityMax: number;
  readonly streamsMax: number;
  /** New streams a second in the long run, and at once (A6.6). */
  readonly streamsPerSecond: number;
  readonly streamsBurst: number;
}

export const ADMISSION_DEFAULTS: AdmissionOptions = {
  streamsPerIdentityMax: 1000,
  streamsMax: 20_000,
  streamsPerSecond: 200,
  streamsBurst: 400,
};

export type Admission = { readonly release: () => void } | { readonly problem: string };

/** Who may open a stream now. A client that is turned away tries again after its back-off. */
export class StreamAdmission {
  readonly #clock: Clock;
  readonly #options: AdmissionOptions;
  readonly #byIdentity = new Map<string, number>();
  #streams = 0;
  #tokens: number;
  #refilledAtMs: number;

  constructor(clock: Clock, options: AdmissionOptions = ADMISSION_DEFAULTS) {
    this.#clock = clock;
    this.#options = options;
    this.#tokens = options.streamsBurst;
    this.#refilledAtMs = clock.nowMs();
  }

  /** `identity`: '' for callers without one, who share one allowance. */
  admit(identity: string): Admission {
    const { streamsPerIdentityMax, streamsMax } = this.#options;
    const count = this.#byIdentity.get(identity) ?? 0;
    if (count >= streamsPerIdentityMax) {
      return {
        problem: `${identity || 'callers without an identity'} already hold ${count} streams, which is the limit`,
      };
    }
    if (this.#streams >= streamsMax) {
      return { problem: `${this.#streams} streams are open, which is the limit` };
    }
    if (!this.#takeToken()) {
      return { problem: 'too many streams are opened at once; try again in a moment' };
    }
    this.#streams++;
    this.#byIdentity.set(identity, count + 1);
    let isReleased = false;
    return {
      release: () => {
        if (isReleased) return;
        isReleased = true;
        this.#streams--;
        const left = this.#byIdentity.get(identity)! - 1;
        if (left === 0) this.#byIdentity.delete(identity);
        else this.#byIdentity.set(identity, left);
      },
    };
  }

  #takeToken(): boolean {
    const { streamsPerSecond, streamsBurst } = this.#options;
    const nowMs = this.#clock.nowMs();
    const gained = ((nowMs - this.#refilledAtMs) / 1000) * streamsPerSecond;
    this.#tokens = Math.min(streamsBurst, this.#tokens + gained);
    this.#refilledAtMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
