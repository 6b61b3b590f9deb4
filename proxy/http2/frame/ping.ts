import {
  BAD_FRAME_SIZE,
  NO_VIOLATION,
  STREAM_ID_NOT_ALLOWED,
  type Violation,
} from '../violation.ts';
import {
  Flag,
  FRAME_HEAD_BYTES,
  type FrameHead,
  FrameType,
  readUint32,
  writeFrameHead,
  writeUint32,
} from './frame-head.ts';

/**
 * PING (RFC 9113 §6.7):
 *
 *   +---------------------------------------------------------------+
 *   |                      Opaque Data (64)                         |
 *   +---------------------------------------------------------------+
 */
export const PING_BYTES = FRAME_HEAD_BYTES + 8;

/** The upper half of the opaque data of our own pings; the lower half says what one is for. */
const OWN_PING = 0x77656674; // "weft"

export function judgePing(head: FrameHead): Violation {
  if (head.streamId !== 0) return STREAM_ID_NOT_ALLOWED;
  return head.length === 8 ? NO_VIOLATION : BAD_FRAME_SIZE;
}

/** The purpose of an own ping that was acknowledged, or -1. */
export function decodePingAck(bytes: Uint8Array, start: number): number {
  return readUint32(bytes, start) === OWN_PING ? readUint32(bytes, start + 4) : -1;
}

export function encodePing(out: Uint8Array, start: number, purpose: number): number {
  const at = writeFrameHead(out, start, 8, FrameType.Ping, 0, 0);
  return writeUint32(out, writeUint32(out, at, OWN_PING), purpose);
}

/** Answers the ping whose payload is at `bytes[from]`. */
export function encodePingAck(
  out: Uint8Array,
  start: number,
  bytes: Uint8Array,
  from: number,
): number {
  const at = writeFrameHead(out, start, 8, FrameType.Ping, Flag.Ack, 0);
  for (let index = 0; index < 8; index++) out[at + index] = bytes[from + index]!;
  return at + 8;
}
