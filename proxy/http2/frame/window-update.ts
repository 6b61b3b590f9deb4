import { BAD_FRAME_SIZE, NO_VIOLATION, type Violation } from '../violation.ts';
import {
  FRAME_HEAD_BYTES,
  type FrameHead,
  FrameType,
  readUint31,
  writeFrameHead,
  writeUint32,
} from './frame-head.ts';

/**
 * WINDOW_UPDATE (RFC 9113 §6.9), of one stream or, with stream 0, of the connection:
 *
 *   +-+-------------------------------------------------------------+
 *   |R|              Window Size Increment (31)                     |
 *   +-+-------------------------------------------------------------+
 */
export const WINDOW_UPDATE_BYTES = FRAME_HEAD_BYTES + 4;

export function judgeWindowUpdate(head: FrameHead): Violation {
  return head.length === 4 ? NO_VIOLATION : BAD_FRAME_SIZE;
}

/** Bytes; 0 is an error, of the stream or of the connection. */
export function decodeWindowUpdate(bytes: Uint8Array, start: number): number {
  return readUint31(bytes, start);
}

export function encodeWindowUpdate(
  out: Uint8Array,
  at: number,
  streamId: number,
  bytes: number,
): number {
  return writeUint32(out, writeFrameHead(out, at, 4, FrameType.WindowUpdate, 0, streamId), bytes);
}
