import { BandwidthEstimate } from './bandwidth-estimate.ts';
import type { Http2Options } from './connection-options.ts';
import { type ControlWriter, PingPurpose } from './control-writer.ts';
import { SettingId } from './frame/settings.ts';
import type { OwnSettings } from './own-settings.ts';
import { INITIAL_WINDOW_BYTES, ReceiveWindow, WINDOW_BYTES_MAX } from './receive-window.ts';
import type { Http2Stream } from './stream.ts';
import { remoteEnded } from './stream-state.ts';

/**
 * What we let the peer send (RFC 9113 §5.2): the connection's window, the size that streams begin with,
 * the credit that goes back as readers take their data, and the growth of both with the bandwidth-delay product.
 */
export class ReceiveFlow {
  /** What streams begin with; a change counts for the peer when it has acknowledged it. */
  streamWindowBytes: number;
  readonly #control: ControlWriter;
  readonly #settings: OwnSettings;
  readonly #window = new ReceiveWindow(INITIAL_WINDOW_BYTES);
  readonly #bandwidth: BandwidthEstimate;
  #closed = false;

  constructor(options: Http2Options, control: ControlWriter, settings: OwnSettings) {
    this.streamWindowBytes = options.streamWindowBytes;
    this.#control = control;
    this.#settings = settings;
    this.#bandwidth = new BandwidthEstimate(options.streamWindowBytes, options.windowBytesMax);
  }

  /** Announces the connection's window, which SETTINGS do not say (§6.9.2). */
  begin(connectionWindowBytes: number): void {
    const more = this.#window.grow(connectionWindowBytes);
    if (more > 0) this.#control.windowUpdate(0, more);
  }

  /** No credit is given any more. */
  close(): void {
    this.#closed = true;
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
    if (this.#closed || bytes === 0) return;
    const increment = this.#window.release(bytes);
    if (increment === 0) return;
    this.#control.windowUpdate(0, increment);
    this.#sampleBandwidth();
  }

  /** The ping that ends a sample of the bandwidth has come back. */
  onBandwidthPong(streams: Map<number, Http2Stream>): void {
    if (!this.#bandwidth.end()) return;
    const { windowBytes } = this.#bandwidth;
    // Streams get the new window by SETTINGS (§6.9.2), the connection four times as much.
    this.streamWindowBytes = windowBytes;
    this.#settings.write([SettingId.InitialWindowSize, windowBytes]);
    for (const stream of streams.values()) stream.receiveWindow.grow(windowBytes);
    this.begin(Math.min(4 * windowBytes, WINDOW_BYTES_MAX));
  }

  #sampleBandwidth(): void {
    if (this.#bandwidth.begin()) this.#control.ping(PingPurpose.Bandwidth);
  }
}
