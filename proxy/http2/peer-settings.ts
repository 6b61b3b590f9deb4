import { MAX_FRAME_BYTES } from './frame/frame-head.ts';
import { SettingId } from './frame/settings.ts';
import { INITIAL_WINDOW_BYTES, WINDOW_BYTES_MAX } from './receive-window.ts';
import {
  BAD_ENABLE_CONNECT,
  BAD_ENABLE_PUSH,
  BAD_INITIAL_WINDOW,
  BAD_MAX_FRAME_SIZE,
  NO_VIOLATION,
  type Violation,
} from './violation.ts';

const FRAME_SIZE_LIMIT = 0xff_ffff;

/** What the peer has said about itself (RFC 9113 §6.5.2), beginning with the defaults. */
export class PeerSettings {
  /** The first SETTINGS frame has come. */
  known = false;
  /** Infinity until it is said. */
  maxConcurrentStreams = Number.POSITIVE_INFINITY;
  initialWindowBytes = INITIAL_WINDOW_BYTES;
  /** RFC 8441 §3. */
  enableConnectProtocol = false;

  /**
   * `fromServer`: the peer is a server. Unknown parameters are ignored, and so is MAX_HEADER_LIST_SIZE, which is advice.
   * HEADER_TABLE_SIZE is the encoder's.
   */
  apply(id: number, value: number, fromServer: boolean): Violation {
    switch (id) {
      case SettingId.EnablePush:
        // A server may not say 1 (§6.5.2).
        return value > 1 || (fromServer && value === 1) ? BAD_ENABLE_PUSH : NO_VIOLATION;
      case SettingId.MaxConcurrentStreams:
        this.maxConcurrentStreams = value;
        return NO_VIOLATION;
      case SettingId.InitialWindowSize:
        if (value > WINDOW_BYTES_MAX) return BAD_INITIAL_WINDOW;
        this.initialWindowBytes = value;
        return NO_VIOLATION;
      case SettingId.MaxFrameSize:
        // §6.5.2: between 2^14 and 2^24 - 1. We send the least of them: streams take turns by frames.
        return value < MAX_FRAME_BYTES || value > FRAME_SIZE_LIMIT
          ? BAD_MAX_FRAME_SIZE
          : NO_VIOLATION;
      case SettingId.EnableConnectProtocol:
        // RFC 8441 §3: 0 or 1, and never back to 0.
        if (value > 1 || (this.enableConnectProtocol && value === 0)) return BAD_ENABLE_CONNECT;
        this.enableConnectProtocol = value === 1;
        return NO_VIOLATION;
      default:
        return NO_VIOLATION;
    }
  }
}
