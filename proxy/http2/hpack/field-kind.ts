import { knownFieldName } from '../../http/field-name.ts';

/** What a field of a header block is to the codec. Found out once, when its name is first read. */
export const FieldKind = {
  /** Passed on. */
  Regular: 0,
  /** Name or value breaks RFC 9113 §8.2.1, or a pseudo-header that nobody knows: malformed. */
  Invalid: 1,
  Method: 2,
  Scheme: 3,
  Authority: 4,
  Path: 5,
  /** RFC 8441 §4. */
  Protocol: 6,
  Status: 7,
  /** The last of the pseudo-header fields is below this. */
  Host: 8,
  ContentLength: 9,
  /** Joined from its crumbs, RFC 9113 §8.2.3. */
  Cookie: 10,
  Te: 11,
  /** Belongs to an HTTP/1.1 connection: malformed, RFC 9113 §8.2.2. */
  ConnectionSpecific: 12,
  /** `http2-settings`: left over from an upgrade (RFC 9113 §3.1); dropped. */
  Dropped: 13,
} as const;
export type FieldKind = (typeof FieldKind)[keyof typeof FieldKind];

const KINDS: ReadonlyMap<string, FieldKind> = new Map<string, FieldKind>([
  [':method', FieldKind.Method],
  [':scheme', FieldKind.Scheme],
  [':authority', FieldKind.Authority],
  [':path', FieldKind.Path],
  [':protocol', FieldKind.Protocol],
  [':status', FieldKind.Status],
  ['host', FieldKind.Host],
  ['content-length', FieldKind.ContentLength],
  ['cookie', FieldKind.Cookie],
  ['te', FieldKind.Te],
  ['connection', FieldKind.ConnectionSpecific],
  ['keep-alive', FieldKind.ConnectionSpecific],
  ['proxy-connection', FieldKind.ConnectionSpecific],
  ['transfer-encoding', FieldKind.ConnectionSpecific],
  ['upgrade', FieldKind.ConnectionSpecific],
  ['http2-settings', FieldKind.Dropped],
]);

export function isPseudo(kind: FieldKind): boolean {
  return kind >= FieldKind.Method && kind <= FieldKind.Status;
}

/** The kind of a name that has passed `isFieldNameBytes`. */
export function fieldKind(name: string): FieldKind {
  const kind = KINDS.get(name);
  if (kind !== undefined) return kind;
  return name.charCodeAt(0) === COLON ? FieldKind.Invalid : FieldKind.Regular;
}

const COLON = 0x3a;

/** A token in lower case, with a colon in front for a pseudo-header (RFC 9113 §8.2.1, RFC 9110 §5.1). */
export function isFieldNameBytes(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  if (at < end && bytes[at] === COLON) at++;
  if (at === end) return false;
  for (; at < end; at++) if (NAME[bytes[at]!] === 0) return false;
  return true;
}

/** HTAB, SP, VCHAR and obs-text, with no blank at either end (RFC 9113 §8.2.1, RFC 9110 §5.5). */
export function isFieldValueBytes(bytes: Uint8Array, start: number, end: number): boolean {
  if (start === end) return true;
  const first = bytes[start]!;
  const last = bytes[end - 1]!;
  if (first === SP || first === HTAB || last === SP || last === HTAB) return false;
  for (let at = start; at < end; at++) if (VALUE[bytes[at]!] === 0) return false;
  return true;
}

/** Index for `fieldNameAt`, or -1. `bytes[start, end)` is a valid name. */
export function knownName(bytes: Uint8Array, start: number, end: number): number {
  return bytes[start] === COLON ? -1 : knownFieldName(bytes, start, end);
}

const SP = 0x20;
const HTAB = 0x09;
const NAME_MEMBERS = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
const NAME: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) =>
  NAME_MEMBERS.includes(String.fromCharCode(byte)) ? 1 : 0,
);
const VALUE: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte === HTAB || (byte >= SP && byte !== 0x7f) ? 1 : 0,
);
