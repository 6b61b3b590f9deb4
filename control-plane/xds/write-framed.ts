import { type InnerStream, innerCall } from './inner-call.ts';

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
  return writeInPieces(inner.stream);
}

/**
 * Bytes that are given to the connection at a time: with the head of their HTTP/2 frame they fit one TLS record. Node.js
 * keeps a buffer for each record that ever waited on a connection, and a whole window (64 KiB) of them if it may: that
 * was a third of the memory of an idle stream.
 */
const PIECE_BYTES = 16_000;

function writeInPieces(stream: InnerStream): boolean {
  const whole = stream.write;
  if (typeof whole !== 'function' || typeof stream._writev !== 'function') return false;
  const write = whole.bind(stream);
  stream._writev = null;
  stream.write = (bytes, callback) => {
    let at = 0;
    for (; at + PIECE_BYTES < bytes.length; at += PIECE_BYTES) {
      write(bytes.subarray(at, at + PIECE_BYTES));
    }
    return write(bytes.subarray(at), callback);
  };
  return true;
}

/** Room for the head and then for `bytes` of message. */
export function framed(bytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(FRAME_HEAD_BYTES + bytes);
  buffer.writeUInt8(0, 0); // not compressed
  buffer.writeUInt32BE(bytes, 1);
  return buffer;
}
