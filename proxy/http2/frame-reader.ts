import { judgeContinuation } from './frame/continuation.ts';
import { judgeData } from './frame/data.ts';
import {
  Flag,
  FRAME_HEAD_BYTES,
  FrameHead,
  FrameType,
  MAX_FRAME_BYTES,
  readFrameHead,
} from './frame/frame-head.ts';
import { judgeGoaway } from './frame/goaway.ts';
import { judgeHeaders } from './frame/headers.ts';
import { judgePing } from './frame/ping.ts';
import { judgePriority } from './frame/priority.ts';
import { judgePushPromise } from './frame/push-promise.ts';
import { judgeRstStream } from './frame/rst-stream.ts';
import { judgeSettings } from './frame/settings.ts';
import { judgeWindowUpdate } from './frame/window-update.ts';
import {
  BAD_PADDING,
  BAD_PREFACE,
  FRAME_TOO_LARGE,
  NO_VIOLATION,
  type Violation,
} from './violation.ts';

/** What a client says first (RFC 9113 §3.4). */
export const CONNECTION_PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const PREFACE_BYTES = CONNECTION_PREFACE.length;

const ReadState = {
  /** The connection preface, server role only. */
  Preface: 0,
  Head: 1,
  /** The payload of any frame but DATA, taken as a whole. */
  Payload: 2,
  /** DATA: its pad length, its bytes as they come, its padding. */
  PadLength: 3,
  Data: 4,
  /** Padding of DATA, and the payload of frames whose type nobody knows (RFC 9113 §5.5). */
  Skip: 5,
  /** `stop` was called, or a violation was found. */
  Stopped: 6,
} as const;
type ReadState = (typeof ReadState)[keyof typeof ReadState];

/** What a connection is told by its reader. `head` is the reader's own and filled anew by the next frame. */
export interface FrameSink {
  /** The head of a frame whose length and stream identifier fit its type: may it come now? */
  judgeFrame(head: FrameHead): Violation;
  /** The whole payload `bytes[start, start + head.length)` of any frame but DATA. */
  onFrame(head: FrameHead, bytes: Buffer, start: number): void;
}

/** Who takes DATA, which comes in pieces. */
export interface DataSink {
  /** A DATA frame begins: its whole length counts against the windows. */
  onDataStart(head: FrameHead): void;
  /** Bytes of the DATA frame that are no data. */
  onDataPadding(head: FrameHead, bytes: number): void;
  /** Data `bytes[start, end)`; `last`: no more of this frame follows. Possibly empty. */
  onData(head: FrameHead, bytes: Buffer, start: number, end: number, last: boolean): void;
}

/**
 * Bytes to frames, however they are cut (RFC 9113 §4).
 *
 *   Preface ──▶ Head ──▶ Payload ─────────────────────▶ Head
 *                ├─────▶ [PadLength ──▶] Data [──▶ Skip] ─▶ Head
 *                └─────▶ Skip ─────────────────────────▶ Head
 *
 * Frames that lie in the input as a whole are read where they are; what is cut off is kept, 9 bytes of a
 * head or the payload of one frame (16 KiB at most). Throws nothing.
 */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #dataSink: DataSink;
  #state: ReadState;
  readonly #head = new FrameHead();
  /** Bytes of the preface, of a head or of a payload that were there so far. */
  #haveBytes = 0;
  readonly #partialHead = new Uint8Array(FRAME_HEAD_BYTES);
  #partialPayload: Buffer = NO_BYTES;
  /** Bytes still to come of DATA (Data) or to be passed over (Skip). */
  #owedBytes = 0;
  #padBytes = 0;

  constructor(sink: FrameSink, dataSink: DataSink, expectPreface: boolean) {
    this.#sink = sink;
    this.#dataSink = dataSink;
    this.#state = expectPreface ? ReadState.Preface : ReadState.Head;
  }

  /** A frame has begun, and until it is complete nothing else can be read. Not DATA, which passes as it comes. */
  get isCut(): boolean {
    switch (this.#state) {
      case ReadState.Head:
        return this.#haveBytes > 0;
      case ReadState.Payload:
        return true;
      case ReadState.Skip:
        return this.#head.type !== FrameType.Data;
      default:
        return false;
    }
  }

  /** Nothing more is read, not even what stands behind in the input at hand. */
  stop(): void {
    this.#state = ReadState.Stopped;
    this.#partialPayload = NO_BYTES;
  }

  /** Takes all of `bytes`. Anything but NO_VIOLATION ends the connection. */
  read(bytes: Buffer): Violation {
    let at = 0;
    while (at < bytes.length) {
      switch (this.#state) {
        case ReadState.Preface: {
          if (bytes[at] !== CONNECTION_PREFACE.charCodeAt(this.#haveBytes)) {
            return this.#fail(BAD_PREFACE);
          }
          at++;
          if (++this.#haveBytes === PREFACE_BYTES) {
            this.#haveBytes = 0;
            this.#state = ReadState.Head;
          }
          break;
        }
        case ReadState.Head: {
          if (this.#haveBytes === 0 && bytes.length - at >= FRAME_HEAD_BYTES) {
            readFrameHead(bytes, at, this.#head);
            at += FRAME_HEAD_BYTES;
          } else {
            this.#partialHead[this.#haveBytes++] = bytes[at++]!;
            if (this.#haveBytes < FRAME_HEAD_BYTES) break;
            readFrameHead(this.#partialHead, 0, this.#head);
            this.#haveBytes = 0;
          }
          const violation = this.#beginFrame(bytes, at);
          if (violation !== NO_VIOLATION) return this.#fail(violation);
          break;
        }
        case ReadState.Payload:
          at = this.#readPayload(bytes, at);
          break;
        case ReadState.PadLength: {
          this.#padBytes = bytes[at++]!;
          this.#owedBytes--;
          if (this.#padBytes > this.#owedBytes) return this.#fail(BAD_PADDING);
          this.#owedBytes -= this.#padBytes;
          this.#state = ReadState.Data;
          this.#dataSink.onDataPadding(this.#head, this.#padBytes + 1);
          // A violation there may have stopped the reader.
          if (this.#owedBytes === 0 && this.#isIn(ReadState.Data)) this.#giveData(bytes, at, at);
          break;
        }
        case ReadState.Data: {
          const end = Math.min(bytes.length, at + this.#owedBytes);
          this.#owedBytes -= end - at;
          this.#giveData(bytes, at, end);
          at = end;
          break;
        }
        case ReadState.Skip: {
          const end = Math.min(bytes.length, at + this.#owedBytes);
          this.#owedBytes -= end - at;
          at = end;
          if (this.#owedBytes === 0) this.#state = ReadState.Head;
          break;
        }
        case ReadState.Stopped:
          return NO_VIOLATION;
      }
    }
    return NO_VIOLATION;
  }

  #isIn(state: ReadState): boolean {
    return this.#state === state;
  }

  #beginFrame(bytes: Buffer, at: number): Violation {
    const head = this.#head;
    if (head.length > MAX_FRAME_BYTES) return FRAME_TOO_LARGE;
    let violation = judgeHead(head);
    if (violation !== NO_VIOLATION) return violation;
    violation = this.#sink.judgeFrame(head);
    if (violation !== NO_VIOLATION) return violation;
    if (this.#state === ReadState.Stopped) return NO_VIOLATION;
    if (head.type === FrameType.Data) {
      const padded = (head.flags & Flag.Padded) !== 0;
      if (padded && head.length === 0) return BAD_PADDING;
      this.#owedBytes = head.length;
      this.#padBytes = 0;
      this.#state = padded ? ReadState.PadLength : ReadState.Data;
      this.#dataSink.onDataStart(head);
      if (head.length === 0 && this.#isIn(ReadState.Data)) this.#giveData(bytes, at, at);
    } else if (head.type > FrameType.Continuation) {
      this.#owedBytes = head.length;
      this.#state = head.length === 0 ? ReadState.Head : ReadState.Skip;
    } else if (head.length === 0) {
      this.#sink.onFrame(head, bytes, at);
    } else {
      this.#state = ReadState.Payload;
    }
    return NO_VIOLATION;
  }

  #readPayload(bytes: Buffer, start: number): number {
    const head = this.#head;
    if (this.#haveBytes === 0 && bytes.length - start >= head.length) {
      this.#state = ReadState.Head;
      this.#sink.onFrame(head, bytes, start);
      return start + head.length;
    }
    if (this.#haveBytes === 0) this.#partialPayload = Buffer.allocUnsafe(head.length);
    const take = Math.min(head.length - this.#haveBytes, bytes.length - start);
    bytes.copy(this.#partialPayload, this.#haveBytes, start, start + take);
    this.#haveBytes += take;
    if (this.#haveBytes === head.length) {
      const payload = this.#partialPayload;
      this.#partialPayload = NO_BYTES;
      this.#haveBytes = 0;
      this.#state = ReadState.Head;
      this.#sink.onFrame(head, payload, 0);
    }
    return start + take;
  }

  #giveData(bytes: Buffer, start: number, end: number): void {
    const last = this.#owedBytes === 0;
    if (last) {
      this.#owedBytes = this.#padBytes;
      this.#state = this.#padBytes === 0 ? ReadState.Head : ReadState.Skip;
    }
    this.#dataSink.onData(this.#head, bytes, start, end, last);
  }

  #fail(violation: Violation): Violation {
    this.stop();
    return violation;
  }
}

const NO_BYTES = Buffer.alloc(0);

/** What a frame's type says about its length and stream identifier. */
function judgeHead(head: FrameHead): Violation {
  switch (head.type) {
    case FrameType.Data:
      return judgeData(head);
    case FrameType.Headers:
      return judgeHeaders(head);
    case FrameType.Priority:
      return judgePriority(head);
    case FrameType.RstStream:
      return judgeRstStream(head);
    case FrameType.Settings:
      return judgeSettings(head);
    case FrameType.PushPromise:
      return judgePushPromise();
    case FrameType.Ping:
      return judgePing(head);
    case FrameType.Goaway:
      return judgeGoaway(head);
    case FrameType.WindowUpdate:
      return judgeWindowUpdate(head);
    case FrameType.Continuation:
      return judgeContinuation(head);
    default:
      return NO_VIOLATION;
  }
}
