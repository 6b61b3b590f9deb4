import type { ErrorCode } from '../error-code.ts';
import {
  BAD_FRAME_SIZE,
  NO_VIOLATION,
  STREAM_ID_NOT_ALLOWED,
  type Violation,
} from '../violation.ts';
import {
  FRAME_HEAD_BYTES,
  type FrameHead,
  FrameType,
  readUint31,
  readUint32,
  writeFrameHead,
  writeUint32,
} from './frame-head.ts';

/**
 * GOAWAY (RFC 9113 §6.8):
 *
 *   +-+-------------------------------------------------------------+
 *   |R|                  Last-Stream-ID (31)                        |
 *   +-+-------------------------------------------------------------+
 *   |                      Error Code (32)                          |
 *   +---------------------------------------------------------------+
 *   |                  Additional Debug Data (*)                  ...
 *   +---------------------------------------------------------------+
 */
export class GoawayPayload {
  lastStreamId = 0;
  errorCode = 0;

  decode(bytes: Uint8Array, start: number): void {
    this.lastStreamId = readUint31(bytes, start);
    this.errorCode = readUint32(bytes, start + 4);
  }
}

export function judgeGoaway(head: FrameHead): Violation {
  if (head.streamId !== 0) return STREAM_ID_NOT_ALLOWED;
  return head.length >= 8 ? NO_VIOLATION : BAD_FRAME_SIZE;
}

/** `debug` is ASCII. */
export function goawayBytes(debug: string): number {
  return FRAME_HEAD_BYTES + 8 + debug.length;
}

export function encodeGoaway(
  out: Uint8Array,
  start: number,
  lastStreamId: number,
  errorCode: ErrorCode,
  debug: string,
): number {
  let at = writeFrameHead(out, start, 8 + debug.length, FrameType.Goaway, 0, 0);
  at = writeUint32(out, writeUint32(out, at, lastStreamId), errorCode);
  for (let index = 0; index < debug.length; index++) out[at++] = debug.charCodeAt(index);
  return at;
}
