import type { Resource } from '../kinds/resource.ts';
import type { ConfigStore, Selection, WatchEnd, WatchEvent } from '../store/config-store.ts';
import type { StreamReply, StreamSink } from './api-routes.ts';
import type { ResourceView } from './resource-view.ts';
import type { Selector } from './selector.ts';
import { failureStatus } from './status.ts';

export interface WatchRequest {
  readonly selection: Selection;
  readonly selector: Selector | undefined;
  /** Events after this revision; undefined = first an ADDED for everything there is. */
  readonly fromRevision: number | undefined;
  readonly bookmarks: boolean;
  /** Milliseconds after which the server ends the watch, for the client to come back. */
  readonly timeoutMs: number;
  readonly view: ResourceView;
  readonly kind: string;
  readonly apiVersion: string;
}

/** Milliseconds between bookmarks, which let a quiet watch resume near the present. */
export const BOOKMARK_INTERVAL_MS = 60_000;

/** `?watch=true`: one JSON object a line, `{"type": …, "object": …}`, until the client leaves. */
export function watchReply(
  store: ConfigStore,
  request: WatchRequest,
  bookmarkIntervalMs = BOOKMARK_INTERVAL_MS,
): StreamReply {
  return {
    kind: 'stream',
    contentType: 'application/json',
    start: (sink) => {
      const stream = new WatchStream(store, request, sink);
      const bookmarks = request.bookmarks
        ? setInterval(() => void stream.bookmark(), bookmarkIntervalMs).unref()
        : undefined;
      const timeout = setTimeout(() => stream.finish(), request.timeoutMs).unref();
      void stream.start();
      return () => {
        clearInterval(bookmarks);
        clearTimeout(timeout);
        stream.close();
      };
    },
  };
}

class WatchStream {
  readonly #store: ConfigStore;
  readonly #request: WatchRequest;
  readonly #sink: StreamSink;
  /** Whether the client has each object, so far as this stream knows. Only kept where a selector may change that. */
  readonly #shown = new Map<string, boolean>();
  #close: (() => void) | undefined;
  #closed = false;
  #revision = 0;

  constructor(store: ConfigStore, request: WatchRequest, sink: StreamSink) {
    this.#store = store;
    this.#request = request;
    this.#sink = sink;
  }

  async start(): Promise<void> {
    const { selection, selector, fromRevision } = this.#request;
    this.#revision = fromRevision ?? 0;
    if (fromRevision === undefined) {
      const { items, revision } = await this.#store.list(selection);
      if (this.#closed) return;
      for (const item of items) {
        const shown = selector?.(item) ?? true;
        if (selector !== undefined) this.#shown.set(keyText(item), shown);
        if (shown) this.#send('ADDED', item);
      }
      this.#revision = revision;
    }
    const watch = this.#store.watch(selection, this.#revision, {
      onEvent: (event) => this.#onEvent(event),
      onEnd: (end) => this.#onEnd(end),
    });
    this.#close = () => watch.close();
  }

  /** Everything up to the revision has been sent: the store tells of a write before it counts it here. */
  bookmark(): void {
    if (this.#closed || this.#close === undefined) return;
    const { kind, apiVersion } = this.#request;
    const metadata = { resourceVersion: String(this.#revision) };
    this.#line('BOOKMARK', { kind, apiVersion, metadata });
  }

  finish(): void {
    this.close();
    this.#sink.end();
  }

  close(): void {
    this.#closed = true;
    this.#close?.();
  }

  #onEvent({ type, resource, revision }: WatchEvent): void {
    this.#revision = revision;
    const { selector } = this.#request;
    if (selector === undefined) {
      this.#send(type, resource);
      return;
    }
    // An object that comes to match is new to the client, one that no longer does is gone for it.
    const key = keyText(resource);
    const known = this.#shown.get(key);
    const matches = type !== 'DELETED' && selector(resource);
    if (type === 'DELETED') this.#shown.delete(key);
    else this.#shown.set(key, matches);
    if (matches) this.#send(known === true ? 'MODIFIED' : 'ADDED', resource);
    else if (known !== false) this.#send('DELETED', resource);
  }

  #onEnd(end: WatchEnd): void {
    if (end.kind === 'gone') {
      const message = `too old resource version: ${this.#revision} (${end.oldestRevision}); list again`;
      this.#line('ERROR', failureStatus('Expired', message));
    } else if (end.kind === 'failed') {
      this.#line('ERROR', failureStatus('ServiceUnavailable', end.message));
    }
    this.finish();
  }

  #send(type: WatchEvent['type'], resource: Resource): void {
    this.#line(type, this.#request.view.item(resource));
  }

  #line(type: string, object: object): void {
    if (!this.#closed) this.#sink.write(`${JSON.stringify({ type, object })}\n`);
  }
}

function keyText({ metadata }: Resource): string {
  return `${metadata.namespace}/${metadata.name}`;
}
