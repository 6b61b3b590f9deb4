import { Timer, type TimerLists, type TimerOwner } from '../tcp/timer-list.ts';
import type { UpstreamEndpoint } from './upstream-endpoint.ts';

/** Addresses kept at once; the app chooses them, so the oldest unused one goes at the bound. */
const ORIGINAL_DESTINATIONS_MAX = 4_096;
/** Milliseconds between two looks for endpoints that nobody uses. */
const ORIGINAL_DESTINATION_CLEANUP_MS = 60_000;

/** The endpoints of an ORIGINAL_DST cluster: one for each address dialled, let go when unused. */
export class OriginalDestinations implements TimerOwner {
  readonly #timers: TimerLists;
  readonly #make: (host: string, port: number) => UpstreamEndpoint;
  readonly #byAddress = new Map<string, Known>();
  readonly #timer: Timer = new Timer(this, 0);

  constructor(timers: TimerLists, make: (host: string, port: number) => UpstreamEndpoint) {
    this.#timers = timers;
    this.#make = make;
  }

  get size(): number {
    return this.#byAddress.size;
  }

  get endpoints(): readonly UpstreamEndpoint[] {
    return [...this.#byAddress.values()].map(({ endpoint }) => endpoint);
  }

  endpoint(host: string, port: number): UpstreamEndpoint {
    const key = `${host} ${port}`;
    const known = this.#byAddress.get(key);
    if (known !== undefined) {
      known.used = true;
      return known.endpoint;
    }
    if (this.#byAddress.size >= ORIGINAL_DESTINATIONS_MAX) this.#dropUnused(true);
    if (this.#byAddress.size >= ORIGINAL_DESTINATIONS_MAX) this.#dropOldest();
    const endpoint = this.#make(host, port);
    this.#byAddress.set(key, { endpoint, used: true });
    if (!this.#timer.armed) this.#timers.arm(this.#timer, ORIGINAL_DESTINATION_CLEANUP_MS);
    return endpoint;
  }

  onTimer(): void {
    this.#dropUnused(false);
    if (this.#byAddress.size > 0) this.#timers.arm(this.#timer, ORIGINAL_DESTINATION_CLEANUP_MS);
  }

  drain(): void {
    this.#timers.cancel(this.#timer);
    for (const { endpoint } of this.#byAddress.values()) release(endpoint);
    this.#byAddress.clear();
  }

  destroy(): void {
    for (const { endpoint } of this.#byAddress.values()) endpoint.destroyPools();
    this.drain();
  }

  /** Not used since the last look (or, `now`, simply not busy) and nothing under way. */
  #dropUnused(now: boolean): void {
    for (const [key, known] of this.#byAddress) {
      if (known.endpoint.active === 0 && (now || !known.used)) {
        this.#byAddress.delete(key);
        release(known.endpoint);
      }
      known.used = false;
    }
  }

  #dropOldest(): void {
    const [oldest] = this.#byAddress;
    if (oldest === undefined) return;
    this.#byAddress.delete(oldest[0]);
    release(oldest[1].endpoint);
  }
}

interface Known {
  readonly endpoint: UpstreamEndpoint;
  used: boolean;
}

function release(endpoint: UpstreamEndpoint): void {
  endpoint.removed = true;
  endpoint.drainPools();
}
