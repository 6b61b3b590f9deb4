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
/** And on one where so much stands unread that the streams that are read would be held up. */
const CROWDED_STREAM_WINDOW_BYTES = 8 * 1024;

/**
 * What we let the peer send (RFC 9113 §5.2): the connection's window, the size that streams begin with,
 * the credit that goes back as readers take their data, and the growth of both with the bandwidth-delay product.
 *
 * Streams whose readers stand still hold a whole window each. When that has taken half of what the connection may
 * hold, all windows are made small by SETTINGS, until it is little again: a client that reads none of its responses
 * must not stop those of others that come over the same connection to an upstream.
 */
export class ReceiveFlow {
  /** What streams begin with; a change counts for the peer when it has acknowledged it. */
  streamWindowBytes: number;
  readonly #control: ControlWriter;
  readonly #settings: OwnSettings;
  readonly #budget: ReceiveBudget;
  readonly #window: ConnectionWindow;
  readonly #bandwidth: BandwidthEstimate;
  readonly #streams: StreamTable;
  /** The size for streams when the connection is not crowded. */
  #roomyStreamWindowBytes: number;
  /** The largest that the peer may count with, by SETTINGS that it has not acknowledged. */
  #countedStreamWindowBytes = INITIAL_WINDOW_BYTES;
  #crowded = false;
  #closed = false;

  constructor(
    options: Http2Options,
    control: ControlWriter,
    settings: OwnSettings,
    streams: StreamTable,
  ) {
    const { receiveBudget, streamWindowBytes, connectionWindowBytes, windowBytesMax } = options;
    this.streamWindowBytes = receiveBudget.scarce
      ? Math.min(SCARCE_STREAM_WINDOW_BYTES, streamWindowBytes)
      : streamWindowBytes;
    this.#roomyStreamWindowBytes = this.streamWindowBytes;
    this.#streams = streams;
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

  /** A stream has been opened: until our SETTINGS are acknowledged its peer may count with an older window. */
  onOpen(stream: Http2Stream): void {
    if (!this.#settings.pending) return;
    const slackBytes = this.#countedStreamWindowBytes - this.streamWindowBytes;
    if (slackBytes > 0) stream.receiveWindow.slackBytes = slackBytes;
  }

  /** Our SETTINGS have been acknowledged, all of them. */
  onSettingsKnown(): void {
    this.#countedStreamWindowBytes = this.streamWindowBytes;
    for (const stream of this.#streams.list()) stream.receiveWindow.slackBytes = 0;
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
    if (this.#crowded && this.#window.roomy && !this.#closed) this.#setCrowded(false);
  }

  /** Bytes that belong to no stream that is open have been thrown away. */
  releaseUnread(bytes: number): void {
    if (bytes > 0) this.#announce(this.#window.release(bytes));
  }

  /** Data has been passed on: what its reader has not taken is held, and need not stop other streams. */
  onDelivered(): void {
    if (this.#window.heldBytes === 0) return;
    if (!this.#crowded && this.#window.crowded && !this.#closed) this.#setCrowded(true);
    const increment = this.#window.refill();
    // No sample: it would measure how slow the reader is.
    if (increment > 0) this.#control.windowUpdate(0, increment);
  }

  /** The ping that ends a sample of the bandwidth has come back. */
  onBandwidthPong(): void {
    if (!this.#bandwidth.end(!this.#crowded && !this.#budget.scarce)) return;
    const { windowBytes } = this.#bandwidth;
    // Streams get the new window by SETTINGS (§6.9.2), the connection four times as much.
    this.#roomyStreamWindowBytes = windowBytes;
    this.#setStreamWindow(windowBytes);
    this.#window.raise(Math.min(4 * windowBytes, WINDOW_BYTES_MAX));
  }

  #setCrowded(crowded: boolean): void {
    this.#crowded = crowded;
    const roomy = this.#roomyStreamWindowBytes;
    this.#setStreamWindow(crowded ? Math.min(CROWDED_STREAM_WINDOW_BYTES, roomy) : roomy);
  }

  #setStreamWindow(bytes: number): void {
    if (bytes === this.streamWindowBytes) return;
    this.#countedStreamWindowBytes = Math.max(this.#countedStreamWindowBytes, bytes);
    this.streamWindowBytes = bytes;
    this.#settings.write([SettingId.InitialWindowSize, bytes]);
    for (const { receiveWindow } of this.#streams.list()) {
      receiveWindow.grow(bytes);
      receiveWindow.shrink(bytes);
      receiveWindow.slackBytes = this.#countedStreamWindowBytes - bytes;
    }
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
