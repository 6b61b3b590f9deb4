import type { Clock } from '../clock.ts';

export interface PushQueueOptions {
  /** Pushes that are sent and not settled yet (OP-02). */
  readonly unsettledMax: number;
  /** Milliseconds after which a push that does not settle no longer holds others up. */
  readonly settleMs: number;
}

export const PUSH_QUEUE_DEFAULTS: PushQueueOptions = { unsettledMax: 100, settleMs: 3000 };

/**
 * Who is to be pushed to, each once, oldest first. One push a turn of the event loop, because translation is work of
 * milliseconds and requests, leases and certificates must go on meanwhile (A6.6).
 */
export class PushQueue<Item extends object> {
  readonly #clock: Clock;
  readonly #options: PushQueueOptions;
  readonly #push: (item: Item) => void;
  readonly #waiting = new Set<Item>();
  readonly #unsettled = new Map<Item, () => void>();
  #isScheduled = false;

  constructor(clock: Clock, options: PushQueueOptions, push: (item: Item) => void) {
    this.#clock = clock;
    this.#options = options;
    this.#push = push;
  }

  get waitingCount(): number {
    return this.#waiting.size;
  }

  /** Already waiting: it will get the newest state anyway. */
  add(item: Item): void {
    this.#waiting.add(item);
    this.#schedule();
  }

  /** Its client has acknowledged or refused everything. */
  settled(item: Item): void {
    this.#unsettled.get(item)?.();
    this.#unsettled.delete(item);
    this.#schedule();
  }

  /** The stream is gone. */
  remove(item: Item): void {
    this.#waiting.delete(item);
    this.settled(item);
  }

  close(): void {
    this.#waiting.clear();
    for (const cancel of this.#unsettled.values()) cancel();
    this.#unsettled.clear();
  }

  #schedule(): void {
    if (this.#isScheduled || this.#waiting.size === 0) return;
    if (this.#unsettled.size >= this.#options.unsettledMax) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#next();
      this.#schedule();
    });
  }

  #next(): void {
    const { value: item } = this.#waiting.values().next();
    if (item === undefined) return;
    this.#waiting.delete(item);
    this.#unsettled.get(item)?.();
    const cancel = this.#clock.schedule(this.#options.settleMs, () => this.settled(item));
    this.#unsettled.set(item, cancel);
    this.#push(item);
  }
}
