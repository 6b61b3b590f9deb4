import { randomAt, type TextBuffer, takeRandom, writeHexByte } from './random-hex.ts';

/**
 * `x-request-id` (OB-10). Envoy's UUID carries the sampling decision in the first digit of its third
 * group, so that every proxy of a call tree decides alike: `4` not sampled, `9` sampled, `a` forced by
 * a server, `b` asked for by a client.
 */
export const TraceReason = { NotSampled: '4', Sampled: '9', Forced: 'a', Client: 'b' } as const;

const REASON_AT = 14;
const UUID_LENGTH = 36;

/** A new id that says "not sampled", as any UUIDv4 does (RFC 9562 §5.4): one flat string. */
export function newRequestId(): string {
  const random = takeRandom(16);
  let at = 0;
  for (let index = 0; index < 16; index++) {
    let byte = randomAt(random + index);
    if (index === 6) byte = (byte & 0x0f) | 0x40;
    else if (index === 8) byte = (byte & 0x3f) | 0x80;
    if (index === 4 || index === 6 || index === 8 || index === 10) at++;
    at = writeHexByte(text, at, byte);
  }
  return text.latin1Slice(0, UUID_LENGTH);
}

const text = Buffer.alloc(UUID_LENGTH, '-') as TextBuffer;

/** Whether the id is a UUID of which the decision can be read and written. */
export function isUuid(id: string): boolean {
  if (id.length !== UUID_LENGTH) return false;
  for (let at = 0; at < UUID_LENGTH; at++) {
    const code = id.charCodeAt(at);
    if (at === 8 || at === 13 || at === 18 || at === 23) {
      if (code !== 0x2d) return false;
    } else if (!isHexDigit(code)) {
      return false;
    }
  }
  return true;
}

function isHexDigit(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || ((code | 0x20) >= 0x61 && (code | 0x20) <= 0x66);
}

/** The decision in the id: true sampled, false not, null where it is no UUID of ours. */
export function sampledByRequestId(id: string): boolean | null {
  if (!isUuid(id)) return null;
  switch (id[REASON_AT]) {
    case TraceReason.NotSampled:
      return false;
    case TraceReason.Sampled:
    case TraceReason.Forced:
    case TraceReason.Client:
      return true;
    default:
      return null;
  }
}

/** The id with the decision written into it; an id that is no UUID stays as it is. */
export function withSampling(id: string, sampled: boolean): string {
  const reason = sampled ? TraceReason.Sampled : TraceReason.NotSampled;
  const present = id[REASON_AT];
  const says = present === '9' || present === 'a' || present === 'b';
  // Most ids say it already, UUID or not: looking through them is left to those that would be changed.
  if (says === sampled && (says || present === TraceReason.NotSampled)) return id;
  if (!isUuid(id)) return id;
  return id.slice(0, REASON_AT) + reason + id.slice(REASON_AT + 1);
}
