import { BAD_FRAME_SIZE, NO_VIOLATION, STREAM_ID_MISSING, type Violation } from '../violation.ts';
import { type FrameHead, readUint31 } from './frame-head.ts';

/**
 * PRIORITY (RFC 9113 §6.3): deprecated, never sent, ignored in any state of its stream.
 *
 *   +-+-------------------------------------------------------------+
 *   |E|                  Stream Dependency (31)                     |
 *   +-+-------------+-----------------------------------------------+
 *   |   Weight (8)  |
 *   +---------------+
 */
export function judgePriority(head: FrameHead): Violation {
  if (head.streamId === 0) return STREAM_ID_MISSING;
  // §6.3 makes this a stream error; §5.4.2 lets it be one of the connection.
  return head.length === 5 ? NO_VIOLATION : BAD_FRAME_SIZE;
}

/** The stream depended on. */
export function decodePriority(bytes: Uint8Array, start: number): number {
  return readUint31(bytes, start);
}
