import { BandwidthEstimate } from './bandwidth-estimate.ts';
import type { Http2Options } from './connection-options.ts';
import { ConnectionWindow } from './connection-window.ts';
import { type ControlWriter, PingPurpose } from './control-writer.ts';
import { SettingId } from './frame/settings.ts';
import type { OwnSettings } from './own-settings.ts';
import type { ReceiveBudget } from './receive-budget.ts';
import { INITIAL_WINDOW_BYTES, WINDOW_BYTES_MAX } from './receive-window.ts';
import type { Http2Stream } from './stream.ts';
import { remoteEnded } from './stream-state.ts';
import type { StreamTable } from './stream-table.ts';

/** What streams begin with on a connection that is made while the budget of the process is nearly used up. */
const SCARCE_STREAM_WINDOW_BYTES = 32 * 1024;

/**
 * What we let the peer send (RFC 9113 §5.2): the connection's window, the size that streams begin with,
 * the credit that goes back as readers take their data, and the growth of both with the bandwidth-delay product.
 */
export class ReceiveFlow {
  /** What streams begin with; a change counts for the peer when it has acknowledged it. */
  streamWindowBytes: number;
  readonly #control: ControlWriter;
  readonly #settings: OwnSettings;
  readonly #budget: ReceiveBudget;
  readonly #window: ConnectionWindow;
  readonly #bandwidth: BandwidthEstimate;
  #closed = false;

  constructor(options: Http2Options, control: ControlWriter, settings: OwnSettings) {
    const { receiveBudget, streamWindowBytes, connectionWindowBytes, windowBytesMax } = options;
    this.streamWindowBytes = receiveBudget.scarce
      ? Math.min(SCARCE_STREAM_WINDOW_BYTES, streamWindowBytes)
      : streamWindowBytes;
    this.#control = control;
    this.#settings = settings;
    this.#budget = receiveBudget;
    this.#window = new ConnectionWindow(receiveBudget, connectionWindowBytes);
    this.#bandwidth = new BandwidthEstimate(this.streamWindowBytes, windowBytesMax);
  }

  /** No credit is given any more. */
  close(): void {
    this.#closed = true;
    this.#window.close();
  }

  /** A stream has been opened: its window is what the peer may count with. */
  onOpen(stream: Http2Stream): void {
    // Until our SETTINGS are acknowledged that may be the default.
    if (this.#settings.pending && this.streamWindowBytes < INITIAL_WINDOW_BYTES) {
      stream.receiveWindow.availableBytes = INITIAL_WINDOW_BYTES;
    }
  }

  /** A DATA frame of this length has come. False: more than the connection was allowed. */
  receive(bytes: number): boolean {
    this.#bandwidth.onData(bytes);
    return this.#window.receive(bytes);
  }

  /** The reader of a stream has taken bytes. */
  release(stream: Http2Stream, bytes: number): void {
    if (!remoteEnded(stream.state) && !this.#closed) {
      const increment = stream.receiveWindow.release(bytes);
      if (increment > 0) {
        this.#control.windowUpdate(stream.id, increment);
        this.#sampleBandwidth();
      }
    }
    this.releaseUnread(bytes);
  }

  /** Bytes that belong to no stream that is open have been thrown away. */
  releaseUnread(bytes: number): void {
    if (bytes > 0) this.#announce(this.#window.release(bytes));
  }

  /** Data has been passed on: what its reader has not taken is held, and need not stop other streams. */
  onDelivered(): void {
    if (this.#window.heldBytes === 0) return;
    const increment = this.#window.refill();
    // No sample: it would measure how slow the reader is.
    if (increment > 0) this.#control.windowUpdate(0, increment);
  }

  /** The ping that ends a sample of the bandwidth has come back. */
  onBandwidthPong(streams: StreamTable): void {
    if (!this.#bandwidth.end(!this.#budget.scarce)) return;
    const { windowBytes } = this.#bandwidth;
    // Streams get the new window by SETTINGS (§6.9.2), the connection four times as much.
    this.streamWindowBytes = windowBytes;
    this.#settings.write([SettingId.InitialWindowSize, windowBytes]);
    for (const stream of streams.list()) stream.receiveWindow.grow(windowBytes);
    this.#window.raise(Math.min(4 * windowBytes, WINDOW_BYTES_MAX));
  }

  #announce(increment: number): void {
    if (increment === 0) return;
    this.#control.windowUpdate(0, increment);
    this.#sampleBandwidth();
  }

  #sampleBandwidth(): void {
    if (this.#bandwidth.begin()) this.#control.ping(PingPurpose.Bandwidth);
  }
}
