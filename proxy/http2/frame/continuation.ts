import { NO_VIOLATION, STREAM_ID_MISSING, type Violation } from '../violation.ts';
import { Flag, type FrameHead, FrameType, writeFrameHead } from './frame-head.ts';

/**
 * CONTINUATION (RFC 9113 §6.10): the rest of a field block, with no other frame between.
 *
 *   +---------------------------------------------------------------+
 *   |                  Field Block Fragment (*)                   ...
 *   +---------------------------------------------------------------+
 */
export function judgeContinuation(head: FrameHead): Violation {
  return head.streamId === 0 ? STREAM_ID_MISSING : NO_VIOLATION;
}

/** The head of a CONTINUATION frame; a fragment of `length` bytes follows. */
export function encodeContinuationHead(
  out: Uint8Array,
  at: number,
  streamId: number,
  length: number,
  endHeaders: boolean,
): number {
  const flags = endHeaders ? Flag.EndHeaders : 0;
  return writeFrameHead(out, at, length, FrameType.Continuation, flags, streamId);
}
