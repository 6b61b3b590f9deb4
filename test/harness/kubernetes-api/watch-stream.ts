import type { ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import type { KubernetesObject } from '../../../control-plane/kubernetes/kubernetes-object.ts';
import { expired } from './api-error.ts';
import type { Faults } from './faults.ts';
import type { ObjectStore, StoreEvent } from './object-store.ts';
import type { ObjectTest } from './selectors.ts';
import type { ServedKind } from './served-kind.ts';

export interface WatchStreamOptions {
  readonly store: ObjectStore;
  readonly faults: Faults;
  readonly kind: ServedKind;
  readonly apiVersion: string;
  readonly namespace: string;
  readonly test: ObjectTest;
  /** Events after it; undefined = everything there is first. */
  readonly fromRevision: number | undefined;
  /** `sendInitialEvents`: a bookmark says where the first part ends. */
  readonly marksInitialEnd: boolean;
  readonly bookmarks: boolean;
  readonly bookmarkIntervalMs: number;
  readonly timeoutMs: number;
  /** The object as the client wants it: its version, or a Table of one row. */
  readonly show: (object: KubernetesObject) => object;
}

/** One `?watch=true`: a JSON text a line. */
export class WatchStream {
  readonly #options: WatchStreamOptions;
  readonly #response: ServerResponse;
  readonly #stop: () => void;
  readonly #timers: NodeJS.Timeout[] = [];
  #revision = 0;
  isOver = false;
  /** Something was kept back. */
  #hasSwallowed = false;

  constructor(options: WatchStreamOptions, response: ServerResponse) {
    const { store, kind, fromRevision, bookmarks } = options;
    this.#options = options;
    this.#response = response;
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    response.on('close', () => this.#close());
    this.#stop = store.onEvent((event) => this.#onEvent(event));
    if (fromRevision !== undefined && fromRevision < store.compactedRevision) {
      this.#line('ERROR', expired(String(fromRevision), store.compactedRevision).status);
      this.end();
      return;
    }
    if (fromRevision === undefined) {
      this.#revision = store.revision;
      for (const object of store.list(kind, options.namespace).filter(options.test)) {
        this.#line('ADDED', options.show(object));
      }
      if (options.marksInitialEnd) {
        this.#line('BOOKMARK', this.#bookmark({ 'k8s.io/initial-events-end': 'true' }));
      }
    } else {
      this.#revision = fromRevision;
      for (const event of store.since(kind, fromRevision)) this.#onEvent(event);
    }
    this.#timers.push(setTimeout(() => this.end(), options.timeoutMs).unref());
    if (bookmarks) {
      const timer = setInterval(() => this.sendBookmark(), options.bookmarkIntervalMs);
      this.#timers.push(timer.unref());
    }
  }

  get plural(): string {
    return this.#options.kind.plural;
  }

  /** Ends it in order. */
  end(): void {
    this.#close();
    this.#response.end();
  }

  /** Ends the connection under it, perhaps in the middle of an event. */
  cut(isMidEvent: boolean): void {
    this.#close();
    if (isMidEvent) this.#response.write('{"type":"ADDED","object":{"kind":"Po');
    // What was written leaves before the connection does.
    setImmediate(() => {
      const { socket } = this.#response;
      // TLS cannot be reset from within; a connection that just ends is as bad.
      if (socket instanceof TLSSocket) socket.destroy();
      else socket?.resetAndDestroy();
    });
  }

  /** A line as it stands. */
  sendRaw(line: string): void {
    this.#response.write(`${line}\n`);
  }

  /** Everything up to now has been sent. */
  sendBookmark(): void {
    if (this.isOver || this.#isMute()) return;
    this.#revision = this.#options.store.revision;
    this.#line('BOOKMARK', this.#bookmark());
  }

  #bookmark(annotations?: Readonly<Record<string, string>>): object {
    const { kind, apiVersion } = this.#options;
    return {
      kind: kind.kind,
      apiVersion,
      metadata: {
        resourceVersion: String(this.#revision),
        creationTimestamp: null,
        ...(annotations !== undefined && { annotations }),
      },
    };
  }

  /** For good: a stream that went on after a gap would have lost what a TCP connection cannot lose. */
  #isMute(): boolean {
    if (this.#options.faults.silent) this.#hasSwallowed = true;
    return this.#hasSwallowed;
  }

  #onEvent(event: StoreEvent): void {
    const { kind, namespace, test, show, faults } = this.#options;
    if (this.isOver || event.kind !== `${kind.group}/${kind.plural}` || this.#isMute()) return;
    if (event.revision <= this.#revision || faults.lose(event)) return;
    this.#revision = event.revision;
    if (namespace !== '' && event.object.metadata.namespace !== namespace) return;
    // What comes to match is new to the client, what no longer does is gone for it.
    const was = event.before !== undefined && test(event.before);
    const is = event.type !== 'DELETED' && test(event.object);
    if (!was && !is) return;
    const type = is ? (was ? 'MODIFIED' : 'ADDED') : 'DELETED';
    this.#line(type, show(event.object));
    if (faults.duplicate) this.#line(type, show(event.object));
  }

  #line(type: string, object: object): void {
    if (!this.isOver) this.#response.write(`${JSON.stringify({ type, object })}\n`);
  }

  #close(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#stop();
    for (const timer of this.#timers) clearTimeout(timer);
  }
}
