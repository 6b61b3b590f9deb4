import type { ErrorCode } from '../error-code.ts';
import { BAD_FRAME_SIZE, NO_VIOLATION, STREAM_ID_MISSING, type Violation } from '../violation.ts';
import {
  FRAME_HEAD_BYTES,
  type FrameHead,
  FrameType,
  readUint32,
  writeFrameHead,
  writeUint32,
} from './frame-head.ts';

/**
 * RST_STREAM (RFC 9113 §6.4):
 *
 *   +---------------------------------------------------------------+
 *   |                        Error Code (32)                        |
 *   +---------------------------------------------------------------+
 */
export const RST_STREAM_BYTES = FRAME_HEAD_BYTES + 4;

export function judgeRstStream(head: FrameHead): Violation {
  if (head.streamId === 0) return STREAM_ID_MISSING;
  return head.length === 4 ? NO_VIOLATION : BAD_FRAME_SIZE;
}

/** The error code, which the registry may not know (RFC 9113 §7: then as INTERNAL_ERROR). */
export function decodeRstStream(bytes: Uint8Array, start: number): number {
  return readUint32(bytes, start);
}

export function encodeRstStream(
  out: Uint8Array,
  at: number,
  streamId: number,
  errorCode: ErrorCode,
): number {
  return writeUint32(out, writeFrameHead(out, at, 4, FrameType.RstStream, 0, streamId), errorCode);
}
