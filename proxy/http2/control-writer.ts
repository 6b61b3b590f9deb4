import type { WriteBuffer } from '../http/write-buffer.ts';
import type { ErrorCode } from './error-code.ts';
import { encodeGoaway, goawayBytes } from './frame/goaway.ts';
import { encodePing, encodePingAck, PING_BYTES } from './frame/ping.ts';
import { encodeRstStream, RST_STREAM_BYTES } from './frame/rst-stream.ts';
import {
  encodeSettings,
  encodeSettingsAck,
  SETTINGS_ACK_BYTES,
  settingsBytes,
} from './frame/settings.ts';
import { encodeWindowUpdate, WINDOW_UPDATE_BYTES } from './frame/window-update.ts';

/** What an own PING is for: its payload. */
export const PingPurpose = { Bandwidth: 1, Drain: 2, Owner: 3 } as const;

/** Replies that may wait for a peer that does not read, beyond what its transport takes; one above 4 KiB counts as several. */
const UNREAD_REPLIES_MAX = 1_000;
/** No more requests are sent on top of so many. */
const UNREAD_REQUESTS_MAX = 500;
/** log2 of 4 KiB. */
const REPLY_UNIT_BITS = 12;

/** Writes the frames that carry no message, and counts those that the peer has made us write. */
export class ControlWriter {
  /** A GOAWAY has been written. */
  goawaySent = false;
  readonly #out: WriteBuffer;
  /** Replies written since the transport became blocked. */
  #unreadReplies = 0;

  constructor(out: WriteBuffer) {
    this.#out = out;
  }

  /** The peer makes us write and does not read (CVE-2019-9512, -9514, -9515). */
  get unreadTooMany(): boolean {
    return this.#unreadReplies > UNREAD_REPLIES_MAX;
  }

  /** The peer is far behind: nothing new should be added that can go elsewhere. */
  get farBehind(): boolean {
    return this.#unreadReplies >= UNREAD_REQUESTS_MAX;
  }

  /** The transport has been emptied. */
  onDrain(): void {
    this.#unreadReplies = 0;
  }

  settings(parameters: readonly number[]): void {
    const out = this.#out;
    out.reserve(settingsBytes(parameters));
    out.at = encodeSettings(out.bytes, out.at, parameters);
  }

  settingsAck(): void {
    const out = this.#out;
    out.reserve(SETTINGS_ACK_BYTES);
    out.at = encodeSettingsAck(out.bytes, out.at);
    this.countReply(SETTINGS_ACK_BYTES);
  }

  ping(purpose: number): void {
    const out = this.#out;
    out.reserve(PING_BYTES);
    out.at = encodePing(out.bytes, out.at, purpose);
  }

  /** Answers the ping whose payload is at `bytes[start]`. */
  pingAck(bytes: Buffer, start: number): void {
    const out = this.#out;
    out.reserve(PING_BYTES);
    out.at = encodePingAck(out.bytes, out.at, bytes, start);
    this.countReply(PING_BYTES);
  }

  reset(streamId: number, errorCode: ErrorCode): void {
    const out = this.#out;
    out.reserve(RST_STREAM_BYTES);
    out.at = encodeRstStream(out.bytes, out.at, streamId, errorCode);
    this.countReply(RST_STREAM_BYTES);
  }

  windowUpdate(streamId: number, bytes: number): void {
    const out = this.#out;
    out.reserve(WINDOW_UPDATE_BYTES);
    out.at = encodeWindowUpdate(out.bytes, out.at, streamId, bytes);
    this.countReply(WINDOW_UPDATE_BYTES);
  }

  goaway(lastStreamId: number, errorCode: ErrorCode, debug: string): void {
    const out = this.#out;
    this.goawaySent = true;
    out.reserve(goawayBytes(debug));
    out.at = encodeGoaway(out.bytes, out.at, lastStreamId, errorCode, debug);
  }

  /** A frame has been written that no window of the peer holds back. */
  countReply(bytes: number): void {
    if (this.#out.blocked) this.#unreadReplies += 1 + (bytes >> REPLY_UNIT_BITS);
  }
}
