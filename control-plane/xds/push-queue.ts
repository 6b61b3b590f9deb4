import type { Clock } from '../clock.ts';

export interface PushQueueOptions {
  /** Pushes that are sent and not settled yet (OP-02). */
  readonly unsettledMax: number;
  /** Bytes of them all. What goes beyond it goes alone, so that a large push is sent to few at a time. */
  readonly unsettledBytesMax: number;
  /** Milliseconds after which a push that does not settle no longer holds others up. */
  readonly settleMs: number;
}

/**
 * A change of endpoints is a few hundred bytes: a thousand sidecars hear of it without waiting for each other. A change
 * of the routes of a large mesh is half a megabyte: a hundred at a time are on their way.
 */
export const PUSH_QUEUE_DEFAULTS: PushQueueOptions = {
  unsettledMax: 1000,
  unsettledBytesMax: 48 * 1024 * 1024,
  settleMs: 3000,
};

/**
 * Who is to be pushed to, each once, oldest first. One push a turn of the event loop, because translation is work of
 * milliseconds and requests, leases and certificates must go on meanwhile (A6.6).
 */
export class PushQueue<Item extends object> {
  readonly #clock: Clock;
  readonly #options: PushQueueOptions;
  readonly #push: (item: Item) => number;
  readonly #waiting = new Set<Item>();
  readonly #unsettled = new Map<Item, Unsettled>();
  #unsettledBytes = 0;
  #isScheduled = false;

  /** `push` gives the bytes that it sent. */
  constructor(clock: Clock, options: PushQueueOptions, push: (item: Item) => number) {
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
    this.#forget(item);
    this.#schedule();
  }

  /** The stream is gone. */
  remove(item: Item): void {
    this.#waiting.delete(item);
    this.settled(item);
  }

  close(): void {
    this.#waiting.clear();
    for (const item of [...this.#unsettled.keys()]) this.#forget(item);
  }

  #forget(item: Item): void {
    const unsettled = this.#unsettled.get(item);
    if (unsettled === undefined) return;
    unsettled.cancel();
    this.#unsettledBytes -= unsettled.bytes;
    this.#unsettled.delete(item);
  }

  #schedule(): void {
    if (this.#isScheduled || this.#waiting.size === 0) return;
    if (this.#unsettled.size >= this.#options.unsettledMax) return;
    if (this.#unsettledBytes >= this.#options.unsettledBytesMax) return;
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
    this.#forget(item);
    const cancel = this.#clock.schedule(this.#options.settleMs, () => this.settled(item));
    const unsettled: Unsettled = { cancel, bytes: 0 };
    this.#unsettled.set(item, unsettled);
    const bytes = this.#push(item);
    // It may have settled at once, where there was nothing to say.
    if (this.#unsettled.get(item) !== unsettled) return;
    unsettled.bytes = bytes;
    this.#unsettledBytes += bytes;
  }
}

interface Unsettled {
  readonly cancel: () => void;
  bytes: number;
}
