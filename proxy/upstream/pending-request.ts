import type { RequestHead } from '../http/message.ts';
import type { HttpConnection } from './http-connection.ts';
import type { PendingStream, UpstreamSink } from './upstream.ts';

/** Who is told that a request need not wait any more. */
export interface PendingRequests {
  cancelPending(pending: PendingRequest): void;
}

/** A request that waits for a connection. */
export class PendingRequest implements PendingStream {
  readonly #pool: PendingRequests;
  readonly head: RequestHead;
  readonly endStream: boolean;
  readonly sink: UpstreamSink;
  cancelled = false;
  /** Whose SETTINGS it waits for. */
  connection: HttpConnection | null = null;
  /** Connections that ended, or took nothing, before they said whether they take upgrades. */
  awaitedInVain = 0;

  constructor(pool: PendingRequests, head: RequestHead, endStream: boolean, sink: UpstreamSink) {
    this.#pool = pool;
    this.head = head;
    this.endStream = endStream;
    this.sink = sink;
  }

  cancel(): void {
    this.cancelled = true;
    this.#pool.cancelPending(this);
  }
}
