/**
 * The byte stream under a codec: a socket, a TLS session, a tunnel inside another connection, or a
 * list in a test. The owner feeds received bytes to the codec; the codec writes here. Implemented on
 * sockets by `tcp/socket-transport.ts`.
 */
export interface Transport {
  /**
   * Takes bytes to send (strings are latin1). Writes of one turn of the event loop leave together.
   * False when more than the high watermark is waiting; the owner then calls `onTransportDrain`.
   */
  write(bytes: Buffer | string): boolean;
  /** FIN after what has been written. */
  end(): void;
  /** Ends both directions after what has been written, with Envoy's delayed close (1 s default). */
  closeAfterFlush(): void;
  /** Sends what has been written, then RST: the peer must not take what it has for the whole (I4). */
  abort(): void;
  /** Drops everything now (RST where bytes were left unread). */
  destroy(): void;
  pauseReading(): void;
  resumeReading(): void;
  /** Bytes waiting to be sent. */
  readonly bufferedBytes: number;
}

/** Who collects what it writes in a turn of the event loop, and hands it to its transport at the end. */
export interface WriteSource {
  /** Hands everything to `write` of the transport. */
  flush(): void;
}

/** A transport that knows when the turn is over: what codecs need, which join what they write in a turn. */
export interface CollectingTransport extends Transport {
  /**
   * Calls `source.flush()` once, after all that this turn of the event loop has to do and before what
   * was written leaves. There is one source a transport.
   */
  flushLater(source: WriteSource): void;
}
