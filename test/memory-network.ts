import type { CollectingTransport, WriteSource } from '../proxy/http/transport.ts';

/**
 * Connections in memory: what one end writes the other receives, in order, when `settle` runs; with a FIN or a RST
 * behind it as the kernel would send them. No clock and no socket, so that a row of a table costs microseconds.
 */

/** Who reads an end. */
export interface Receiver {
  receive(bytes: Buffer): void;
  receiveEnd(): void;
  close(detail: string): void;
  onTransportDrain(): void;
}

/** Bytes that an end takes before `write` answers false. */
const HIGH_WATERMARK_BYTES = 256 * 1024;

export class MemoryNetwork {
  readonly ends: MemoryEnd[] = [];
  /** How much of `bytes` is delivered at once; the default is all of it. */
  cut: (bytes: Buffer) => number = (bytes) => bytes.length;
  /** Bytes that waited between two ends at most, over all connections. */
  peakBytes = 0;

  /** A connection: its two ends, which have no reader yet. */
  connection(): readonly [MemoryEnd, MemoryEnd] {
    const near = new MemoryEnd(this);
    const far = new MemoryEnd(this);
    near.peer = far;
    far.peer = near;
    this.ends.push(near, far);
    return [near, far];
  }

  /** Runs until nobody has anything left to do: the end of many turns of the event loop. */
  settle(): void {
    for (let turn = 0; this.step(); turn++) {
      if (turn > 1_000_000) throw new Error('the network does not come to rest');
    }
  }

  /** One turn; false where nothing happened. */
  step(): boolean {
    let moved = false;
    for (let at = 0; at < this.ends.length; at++) this.ends[at]!.flush();
    for (let at = 0; at < this.ends.length; at++) {
      if (this.ends[at]!.deliver()) moved = true;
    }
    let waiting = 0;
    for (let at = 0; at < this.ends.length; at++) {
      const end = this.ends[at]!;
      waiting += end.bufferedBytes;
      if (end.over) this.ends.splice(at--, 1);
    }
    this.peakBytes = Math.max(this.peakBytes, waiting);
    return moved;
  }
}

/** How the bytes of an end cease: FIN (also of a socket that was destroyed), or RST. */
type Ending = 'open' | 'fin' | 'reset';

export class MemoryEnd implements CollectingTransport {
  peer: MemoryEnd | null = null;
  receiver: Receiver | null = null;
  /** All that was written here, for tests that look at bytes. */
  readonly sent: Buffer[] = [];
  keepsSent = true;
  ending: Ending = 'open';
  /** The owner has gone; nothing is read any more. */
  destroyed = false;
  readonly #network: MemoryNetwork;
  /** Written in this turn: what `destroy` still drops. */
  #written: Buffer[] = [];
  #endAsked = false;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #paused = false;
  #blocked = false;
  #source: WriteSource | null = null;
  #endTold = false;
  #closeTold = false;
  /** `closeAfterFlush`: what still comes in is thrown away. */
  #closing = false;

  constructor(network: MemoryNetwork) {
    this.#network = network;
  }

  get bufferedBytes(): number {
    return this.#queuedBytes;
  }

  /** Neither end has anything to tell any more. */
  get over(): boolean {
    return this.#closeTold && this.#queue.length === 0;
  }

  /** What was written here, as latin1. */
  get text(): string {
    return Buffer.concat(this.sent).toString('latin1');
  }

  write(bytes: Buffer | string): boolean {
    if (this.#endAsked || this.destroyed) return true;
    // A copy: a slab of the codec may be written again.
    const copy = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : Buffer.from(bytes);
    if (copy.length > 0) {
      this.#written.push(copy);
      this.#queuedBytes += copy.length;
    }
    if (this.#queuedBytes <= HIGH_WATERMARK_BYTES) return true;
    this.#blocked = true;
    return false;
  }

  flushLater(source: WriteSource): void {
    this.#source = source;
  }

  /** The end of a turn. */
  flush(): void {
    const source = this.#source;
    this.#source = null;
    source?.flush();
    if (this.destroyed) return;
    const written = this.#written;
    this.#written = [];
    for (let at = 0; at < written.length; at++) {
      if (this.keepsSent) this.sent.push(written[at]!);
      this.#queue.push(written[at]!);
    }
    if (this.#endAsked && this.ending === 'open') this.ending = 'fin';
  }

  end(): void {
    const source = this.#source;
    this.#source = null;
    source?.flush();
    this.#endAsked = true;
  }

  closeAfterFlush(): void {
    this.#closing = true;
    this.end();
  }

  abort(): void {
    if (this.destroyed || this.#closing) return;
    this.flush();
    if (this.ending === 'open') this.ending = 'reset';
    this.destroyed = true;
  }

  destroy(): void {
    for (const bytes of this.#written) this.#queuedBytes -= bytes.length;
    this.#written = [];
    if (this.ending === 'open') this.ending = 'fin';
    this.destroyed = true;
  }

  pauseReading(): void {
    this.#paused = true;
  }

  resumeReading(): void {
    this.#paused = false;
  }

  /** Gives the peer's reader what was written here; true where anything happened. */
  deliver(): boolean {
    const peer = this.peer!;
    let moved = false;
    if (this.destroyed && !this.#closeTold) {
      this.#closeTold = true;
      this.receiver?.close('closed');
      moved = true;
    }
    if (peer.destroyed || peer.#closing) {
      moved ||= this.#queue.length > 0;
      const refused = this.#queue.length > 0 && peer.destroyed;
      this.#drop();
      if ((refused || peer.ending === 'reset') && peer.#queue.length === 0) this.#lose();
    }
    while (this.#queue.length > 0 && !peer.#paused && peer.receiver !== null && !peer.destroyed) {
      const first = this.#queue[0]!;
      const size = Math.max(1, Math.min(first.length, this.#network.cut(first)));
      if (size === first.length) this.#queue.shift();
      else this.#queue[0] = first.subarray(size);
      this.#queuedBytes -= size;
      moved = true;
      peer.receiver.receive(first.subarray(0, size));
      if (size < first.length) break;
    }
    if (this.#blocked && this.#queue.length === 0) {
      this.#blocked = false;
      if (!this.destroyed) this.receiver?.onTransportDrain();
      moved = true;
    }
    if (this.#queue.length > 0 || this.ending === 'open' || this.#endTold) return moved;
    if (this.ending === 'fin' && peer.#paused && !peer.#closing) return moved;
    this.#endTold = true;
    if (this.ending === 'reset') peer.#lose();
    else if (!peer.destroyed && !peer.#closing) peer.receiver?.receiveEnd();
    if (this.ending === 'fin' && peer.ending === 'fin') {
      peer.#finish();
      this.#finish();
    }
    return true;
  }

  /** Both directions have ended. */
  #finish(): void {
    if (this.#closeTold || !this.peer!.#endTold) return;
    this.#closeTold = true;
    this.destroyed = true;
    this.receiver?.close('closed');
  }

  #lose(): void {
    if (this.#closeTold) return;
    this.#closeTold = true;
    this.destroyed = true;
    this.ending = this.ending === 'open' ? 'fin' : this.ending;
    this.#drop();
    this.receiver?.close('ECONNRESET');
  }

  #drop(): void {
    this.#written = [];
    this.#queue = [];
    this.#queuedBytes = 0;
  }
}
