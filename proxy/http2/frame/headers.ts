import {
  BAD_FRAME_SIZE,
  BAD_PADDING,
  NO_VIOLATION,
  STREAM_ID_MISSING,
  type Violation,
} from '../violation.ts';
import { Flag, type FrameHead, FrameType, readUint31, writeFrameHead } from './frame-head.ts';

/**
 * HEADERS (RFC 9113 §6.2):
 *
 *   +---------------+
 *   |Pad Length? (8)|   with PADDED
 *   +-+-------------+-----------------------------------------------+
 *   |E|                 Stream Dependency? (31)                     |   with PRIORITY; deprecated,
 *   +-+-------------+-----------------------------------------------+   read and ignored (§5.3)
 *   |  Weight? (8)  |
 *   +---------------+-----------------------------------------------+
 *   |                  Field Block Fragment (*)                   ...
 *   +---------------------------------------------------------------+
 *   |                          Padding (*)                        ...
 *   +---------------------------------------------------------------+
 */
export class HeadersPayload {
  fragmentStart = 0;
  fragmentEnd = 0;
  /** The stream this one depends on, -1 where the frame says nothing. */
  dependency = -1;

  /** Reads the payload that `bytes` holds from `start` on. */
  decode(head: FrameHead, bytes: Uint8Array, start: number): Violation {
    let at = start;
    let end = start + head.length;
    this.dependency = -1;
    if ((head.flags & Flag.Padded) !== 0) {
      const padBytes = bytes[at++]!;
      end -= padBytes;
    }
    if ((head.flags & Flag.Priority) !== 0) {
      if (end - at < 5) return BAD_PADDING;
      this.dependency = readUint31(bytes, at);
      at += 5;
    }
    if (end < at) return BAD_PADDING;
    this.fragmentStart = at;
    this.fragmentEnd = end;
    return NO_VIOLATION;
  }
}

export function judgeHeaders(head: FrameHead): Violation {
  if (head.streamId === 0) return STREAM_ID_MISSING;
  let least = 0;
  if ((head.flags & Flag.Padded) !== 0) least += 1;
  if ((head.flags & Flag.Priority) !== 0) least += 5;
  return head.length < least ? BAD_FRAME_SIZE : NO_VIOLATION;
}

/** The head of a HEADERS frame; a fragment of `length` bytes follows. */
export function encodeHeadersHead(
  out: Uint8Array,
  at: number,
  streamId: number,
  length: number,
  endStream: boolean,
  endHeaders: boolean,
): number {
  const flags = (endStream ? Flag.EndStream : 0) | (endHeaders ? Flag.EndHeaders : 0);
  return writeFrameHead(out, at, length, FrameType.Headers, flags, streamId);
}
