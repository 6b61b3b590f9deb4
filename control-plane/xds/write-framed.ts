import { innerCall } from './inner-call.ts';

/** Flag and length before every gRPC message. */
export const FRAME_HEAD_BYTES = 5;

/**
 * Lets a call write messages in the very buffers that `frame` gives, head included. gRPC for Node copies each message for
 * each stream: with a thousand streams that wait for their clients' windows these copies are most of the memory, and
 * collecting them a quarter of the time. There is no public way; where its insides have changed, it copies (a test tells).
 */
export function writeFramed(call: object, frame: (message: never) => Buffer): boolean {
  const inner = innerCall(call);
  if (typeof inner?.serializeMessage !== 'function') return false;
  inner.serializeMessage = frame as (message: unknown) => Buffer;
  return true;
}

/** Room for the head and then for `bytes` of message. */
export function framed(bytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(FRAME_HEAD_BYTES + bytes);
  buffer.writeUInt8(0, 0); // not compressed
  buffer.writeUInt32BE(bytes, 1);
  return buffer;
}
