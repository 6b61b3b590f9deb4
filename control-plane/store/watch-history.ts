import type { Selection, Watch, WatchEvent, WatchSink } from './config-store.ts';

/** Changes kept for watches that come back. */
export const HISTORY_EVENTS_MAX = 4096;
/** UTF-16 units of JSON that they may hold together: large objects leave sooner. */
export const HISTORY_CHARS_MAX = 32 * 1024 * 1024;

/**
 * The latest changes in order, without gaps, and the watches that read them. A watch is a cursor into the history: it
 * cannot miss an event or see one twice, and a slow one costs nothing until the history moves past it (`gone`).
 */
export class WatchHistory {
  #events: { readonly event: WatchEvent; readonly chars: number }[] = [];
  #chars = 0;
  /** Events up to and including this revision are no longer here. */
  #compacted: number;
  #revision: number;
  readonly #watches = new Set<HistoryWatch>();
  readonly #eventsMax: number;

  constructor(compacted: number, eventsMax = HISTORY_EVENTS_MAX) {
    this.#compacted = compacted;
    this.#revision = compacted;
    this.#eventsMax = eventsMax;
  }

  get revision(): number {
    return this.#revision;
  }

  /** Revisions go up by one. `chars`: size of the event's object as JSON. */
  append(event: WatchEvent, chars: number): void {
    if (event.revision !== this.#revision + 1) {
      throw new Error(`history is at revision ${this.#revision}, the event has ${event.revision}`);
    }
    this.#revision = event.revision;
    this.#events.push({ event, chars });
    this.#chars += chars;
    while (
      this.#events.length > this.#eventsMax ||
      (this.#chars > HISTORY_CHARS_MAX && this.#events.length > 1)
    ) {
      const oldest = this.#events.shift()!;
      this.#chars -= oldest.chars;
      this.#compacted = oldest.event.revision;
    }
    for (const watch of this.#watches) watch.wake();
  }

  watch(selection: Selection, fromRevision: number, sink: WatchSink): Watch {
    const watch = new HistoryWatch(this, selection, fromRevision, sink);
    this.#watches.add(watch);
    watch.wake();
    return watch;
  }

  /** The event after `revision`; `gone` where it has left the history, or was never made here. */
  next(revision: number): WatchEvent | 'none' | 'gone' {
    if (revision < this.#compacted || revision > this.#revision) return 'gone';
    return this.#events[revision - this.#compacted]?.event ?? 'none';
  }

  get oldestRevision(): number {
    return this.#compacted;
  }

  forget(watch: HistoryWatch): void {
    this.#watches.delete(watch);
  }

  close(): void {
    for (const watch of [...this.#watches]) watch.end({ kind: 'closed' });
  }
}

class HistoryWatch implements Watch {
  readonly #history: WatchHistory;
  readonly #selection: Selection;
  readonly #sink: WatchSink;
  #revision: number;
  #awake = false;
  #open = true;

  constructor(history: WatchHistory, selection: Selection, revision: number, sink: WatchSink) {
    this.#history = history;
    this.#selection = selection;
    this.#revision = revision;
    this.#sink = sink;
  }

  /** Reads on once the running task is done: never inside of the caller's own write or `watch` call. */
  wake(): void {
    if (this.#awake || !this.#open) return;
    this.#awake = true;
    queueMicrotask(() => {
      this.#awake = false;
      this.#read();
    });
  }

  close(): void {
    this.#open = false;
    this.#history.forget(this);
  }

  end(reason: Parameters<WatchSink['onEnd']>[0]): void {
    if (!this.#open) return;
    this.close();
    queueMicrotask(() => this.#sink.onEnd(reason));
  }

  #read(): void {
    while (this.#open) {
      const event = this.#history.next(this.#revision);
      if (event === 'none') return;
      if (event === 'gone') {
        this.end({ kind: 'gone', oldestRevision: this.#history.oldestRevision });
        return;
      }
      this.#revision = event.revision;
      if (selects(this.#selection, event)) this.#sink.onEvent(event);
    }
  }
}

function selects({ group, kind, namespace }: Selection, { resource }: WatchEvent): boolean {
  return (
    (kind === undefined || resource.kind === kind) &&
    (namespace === undefined || resource.metadata.namespace === namespace) &&
    (group === undefined || resource.apiVersion.startsWith(`${group}/`))
  );
}
