/**
 * The head of every frame (RFC 9113 §4.1):
 *
 *   +-----------------------------------------------+
 *   |                 Length (24)                   |   bytes of the payload
 *   +---------------+---------------+---------------+
 *   |   Type (8)    |   Flags (8)   |
 *   +-+-------------+---------------+-------------------------------+
 *   |R|                 Stream Identifier (31)                      |
 *   +=+=============================================================+
 *   |                        Payload                              ...
 */
export const FRAME_HEAD_BYTES = 9;

/** SETTINGS_MAX_FRAME_SIZE of both roles here: the default and the least (RFC 9113 §4.2). */
export const MAX_FRAME_BYTES = 16_384;

export const FrameType = {
  Data: 0x0,
  Headers: 0x1,
  Priority: 0x2,
  RstStream: 0x3,
  Settings: 0x4,
  PushPromise: 0x5,
  Ping: 0x6,
  Goaway: 0x7,
  WindowUpdate: 0x8,
  Continuation: 0x9,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

export const Flag = {
  /** SETTINGS, PING. */
  Ack: 0x1,
  /** DATA, HEADERS. */
  EndStream: 0x1,
  /** HEADERS, PUSH_PROMISE, CONTINUATION. */
  EndHeaders: 0x4,
  /** DATA, HEADERS, PUSH_PROMISE. */
  Padded: 0x8,
  /** HEADERS. */
  Priority: 0x20,
} as const;

/** A frame head; one scratch object a connection. */
export class FrameHead {
  /** Bytes of the payload. */
  length = 0;
  /** A `FrameType`, or one that is not known. */
  type = 0;
  flags = 0;
  streamId = 0;
}

/** Reads the nine bytes at `at`. The reserved bit is ignored. */
export function readFrameHead(bytes: Uint8Array, at: number, head: FrameHead): void {
  head.length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
  head.type = bytes[at + 3]!;
  head.flags = bytes[at + 4]!;
  head.streamId = readUint31(bytes, at + 5);
}

/** Writes nine bytes at `at`; answers the offset behind them. */
export function writeFrameHead(
  out: Uint8Array,
  at: number,
  length: number,
  type: FrameType,
  flags: number,
  streamId: number,
): number {
  out[at] = length >>> 16;
  out[at + 1] = length >>> 8;
  out[at + 2] = length;
  out[at + 3] = type;
  out[at + 4] = flags;
  return writeUint32(out, at + 5, streamId);
}

export function readUint31(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at]! & 0x7f) << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
  );
}

export function readUint32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  );
}

export function writeUint32(out: Uint8Array, at: number, value: number): number {
  out[at] = value >>> 24;
  out[at + 1] = value >>> 16;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
  return at + 4;
}
