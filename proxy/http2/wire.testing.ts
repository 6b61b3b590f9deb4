import type { Transport, WriteSource } from '../http/transport.ts';
import { errorCodeName } from './error-code.ts';
import { Flag, FRAME_HEAD_BYTES, FrameHead, FrameType, readFrameHead } from './frame/frame-head.ts';
import { HpackDecoder } from './hpack/hpack-decoder.ts';

/** For tests: frames as bytes, and what was written as lines. */

export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array | readonly number[] | string = [],
): Buffer {
  const body =
    typeof payload === 'string' ? Buffer.from(payload, 'latin1') : Buffer.from(payload as number[]);
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, body]);
}

export function uint32(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
}

/** A field block in the plainest coding: literals without indexing, no Huffman. */
export function block(...fields: readonly string[]): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    parts.push(Buffer.from([0x00]), literal(fields[at]!), literal(fields[at + 1]!));
  }
  return Buffer.concat(parts);
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const rest: number[] = [];
  let left = bytes.length - 127;
  for (; left >= 0x80; left >>>= 7) rest.push(0x80 | (left & 0x7f));
  rest.push(left);
  return Buffer.concat([Buffer.from([127, ...rest]), bytes]);
}

export const END_STREAM = Flag.EndStream;
export const END_HEADERS = Flag.EndHeaders;

export const headers = (id: number, flags: number, ...fields: readonly string[]) =>
  frame(FrameType.Headers, flags | END_HEADERS, id, block(...fields));
export const data = (id: number, flags: number, text = '') =>
  frame(FrameType.Data, flags, id, text);
export const settings = (...parameters: readonly number[]) => {
  const payload: number[] = [];
  for (let at = 0; at < parameters.length; at += 2) {
    payload.push(parameters[at]! >> 8, parameters[at]! & 0xff, ...uint32(parameters[at + 1]!));
  }
  return frame(FrameType.Settings, 0, 0, payload);
};
export const SETTINGS_ACK = frame(FrameType.Settings, Flag.Ack, 0);
export const ping = (flags = 0, text = '12345678') => frame(FrameType.Ping, flags, 0, text);
export const reset = (id: number, code = 8) => frame(FrameType.RstStream, 0, id, uint32(code));
export const windowUpdate = (id: number, bytes: number) =>
  frame(FrameType.WindowUpdate, 0, id, uint32(bytes));
export const goaway = (lastId: number, code = 0) =>
  frame(FrameType.Goaway, 0, 0, [...uint32(lastId), ...uint32(code)]);
export const priority = (id: number, dependency: number) =>
  frame(FrameType.Priority, 0, id, [...uint32(dependency), 15]);

/** A transport that is a list; `flush` is the end of the turn. */
export class RecordingTransport implements Transport {
  readonly written: Buffer[] = [];
  closedAfterFlush = false;
  destroyed = false;
  /** What `write` answers. */
  flowing = true;
  bufferedBytes = 0;
  #source: WriteSource | null = null;
  #read = 0;
  readonly #decoder = new HpackDecoder(4096, 1 << 20, 1000);

  write(bytes: Buffer | string): boolean {
    // The bytes are kept as they are now: a slab must not change under its reader.
    if (!this.closedAfterFlush) this.written.push(Buffer.from(bytes as Buffer));
    return this.flowing;
  }
  flushLater(source: WriteSource): void {
    this.#source = source;
  }
  end(): void {}
  closeAfterFlush(): void {
    this.closedAfterFlush = true;
  }
  abort(): void {
    this.destroyed = true;
  }
  destroy(): void {
    this.destroyed = true;
  }
  pauseReading(): void {}
  resumeReading(): void {}

  /** The end of the turn. */
  flush(): void {
    const source = this.#source;
    this.#source = null;
    source?.flush();
  }

  /** The bytes written since the last call. */
  take(): Buffer {
    this.flush();
    const from = this.#read;
    this.#read = this.written.length;
    return Buffer.concat(this.written.slice(from));
  }

  /** The frames written since the last call, as lines. */
  frames(): string[] {
    return describeFrames(this.take(), this.#decoder);
  }
}

const NAMES = Object.keys(FrameType);

export function describeFrames(bytes: Buffer, decoder: HpackDecoder): string[] {
  const lines: string[] = [];
  const head = new FrameHead();
  let at = 0;
  if (bytes.subarray(0, 3).toString('latin1') === 'PRI') {
    lines.push('preface');
    at = 24;
  }
  for (; at < bytes.length; at += FRAME_HEAD_BYTES + head.length) {
    readFrameHead(bytes, at, head);
    const payload = bytes.subarray(at + FRAME_HEAD_BYTES, at + FRAME_HEAD_BYTES + head.length);
    lines.push(describeFrame(head, payload, decoder));
  }
  return lines;
}

function describeFrame(head: FrameHead, payload: Buffer, decoder: HpackDecoder): string {
  const end = (head.flags & END_STREAM) !== 0 ? ' end' : '';
  const name = `${NAMES[head.type]!} ${head.streamId}`;
  switch (head.type) {
    case FrameType.Data:
      return `${name} ${payload.toString('latin1')}${end}`;
    case FrameType.Headers:
      if (!decoder.decode(payload, 0, payload.length)) return `${name} undecodable`;
      return `${name}${pairs(decoder.fields)}${end}`;
    case FrameType.RstStream:
      return `${name} ${errorCodeName(payload.readUInt32BE(0))}`;
    case FrameType.Goaway: {
      const code = errorCodeName(payload.readUInt32BE(4));
      return `Goaway ${payload.readUInt32BE(0)} ${code} ${payload.toString('latin1', 8)}`.trim();
    }
    case FrameType.WindowUpdate:
      return `${name} ${payload.readUInt32BE(0)}`;
    case FrameType.Settings:
    case FrameType.Ping:
      return (head.flags & Flag.Ack) !== 0 ? `${NAMES[head.type]!} ack` : NAMES[head.type]!;
    default:
      return name;
  }
}

function pairs(fields: readonly string[]): string {
  let text = '';
  for (let at = 0; at < fields.length; at += 2) text += ` [${fields[at]}: ${fields[at + 1]}]`;
  return text;
}
