import { NO_VIOLATION, STREAM_ID_MISSING, type Violation } from '../violation.ts';
import { Flag, type FrameHead, FrameType, writeFrameHead } from './frame-head.ts';

/**
 * DATA (RFC 9113 §6.1). Its payload is passed on as it arrives, by `FrameReader`.
 *
 *   +---------------+
 *   |Pad Length? (8)|   with PADDED
 *   +---------------+-----------------------------------------------+
 *   |                            Data (*)                         ...
 *   +---------------------------------------------------------------+
 *   |                          Padding (*)                        ...
 *   +---------------------------------------------------------------+
 */
export function judgeData(head: FrameHead): Violation {
  return head.streamId === 0 ? STREAM_ID_MISSING : NO_VIOLATION;
}

/** The head of a DATA frame; its `length` bytes follow, unpadded. */
export function encodeDataHead(
  out: Uint8Array,
  at: number,
  streamId: number,
  length: number,
  endStream: boolean,
): number {
  const flags = endStream ? Flag.EndStream : 0;
  return writeFrameHead(out, at, length, FrameType.Data, flags, streamId);
}
