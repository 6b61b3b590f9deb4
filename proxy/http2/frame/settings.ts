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
 * SETTINGS (RFC 9113 §6.5): any number of
 *
 *   +-------------------------------+
 *   |       Identifier (16)         |
 *   +-------------------------------+-------------------------------+
 *   |                        Value (32)                             |
 *   +---------------------------------------------------------------+
 */
export const SettingId = {
  HeaderTableSize: 0x1,
  EnablePush: 0x2,
  MaxConcurrentStreams: 0x3,
  InitialWindowSize: 0x4,
  MaxFrameSize: 0x5,
  MaxHeaderListSize: 0x6,
  /** RFC 8441 §3. */
  EnableConnectProtocol: 0x8,
} as const;

const SETTING_BYTES = 6;

export const SETTINGS_ACK_BYTES = FRAME_HEAD_BYTES;

export function judgeSettings(head: FrameHead): Violation {
  if (head.streamId !== 0) return STREAM_ID_NOT_ALLOWED;
  if ((head.flags & Flag.Ack) !== 0) return head.length === 0 ? NO_VIOLATION : BAD_FRAME_SIZE;
  return head.length % SETTING_BYTES === 0 ? NO_VIOLATION : BAD_FRAME_SIZE;
}

export interface SettingSink {
  /** One parameter, in the order sent; the first violation ends the reading. */
  onSetting(id: number, value: number): Violation;
}

export function decodeSettings(
  head: FrameHead,
  bytes: Uint8Array,
  start: number,
  sink: SettingSink,
): Violation {
  for (let at = start; at < start + head.length; at += SETTING_BYTES) {
    const id = (bytes[at]! << 8) | bytes[at + 1]!;
    const violation = sink.onSetting(id, readUint32(bytes, at + 2));
    if (violation !== NO_VIOLATION) return violation;
  }
  return NO_VIOLATION;
}

/** Bytes of a frame with these parameters: identifier, value, identifier, value. */
export function settingsBytes(parameters: readonly number[]): number {
  return FRAME_HEAD_BYTES + (parameters.length / 2) * SETTING_BYTES;
}

export function encodeSettings(
  out: Uint8Array,
  start: number,
  parameters: readonly number[],
): number {
  const length = settingsBytes(parameters) - FRAME_HEAD_BYTES;
  let at = writeFrameHead(out, start, length, FrameType.Settings, 0, 0);
  for (let index = 0; index < parameters.length; index += 2) {
    out[at] = parameters[index]! >>> 8;
    out[at + 1] = parameters[index]!;
    at = writeUint32(out, at + 2, parameters[index + 1]!);
  }
  return at;
}

export function encodeSettingsAck(out: Uint8Array, at: number): number {
  return writeFrameHead(out, at, 0, FrameType.Settings, Flag.Ack, 0);
}
