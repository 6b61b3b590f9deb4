import { RecordType, ResponseCode } from './record-type.ts';

/** A question from an app. */
export interface DnsQuery {
  readonly id: number;
  /** The flags word of the header as it came. */
  readonly flags: number;
  /** Lower case, without the dot at the end. '' for the root, and for names with bytes that no host name has. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** The question section as it came: an answer repeats it to the letter. */
  readonly question: Buffer;
  readonly edns: Edns | null;
  /** The whole message, without what may follow it. */
  readonly bytes: Buffer;
}

/** The OPT record (RFC 6891). */
export interface Edns {
  /** What the client can take over UDP, as it says. */
  readonly udpBytes: number;
  readonly version: number;
  /** Its flags, DO among them. */
  readonly flags: number;
}

export type ParsedQuery =
  | { readonly kind: 'query'; readonly query: DnsQuery }
  /** To be answered with this code and nothing else. */
  | { readonly kind: 'refused'; readonly id: number; readonly flags: number; readonly code: number }
  /** Nothing that may be answered: a response, or no message at all. */
  | { readonly kind: 'ignored' };

export const HEADER_BYTES = 12;
/** The bit that tells a response from a query. */
export const FLAG_RESPONSE = 0x8000;
export const FLAG_TRUNCATED = 0x0200;

/** RFC 1035 §2.3.4, length bytes and the root among them. */
const NAME_BYTES_MAX = 255;
/** Records beside the question: OPT, TSIG, SIG(0) and the like. */
const RECORDS_MAX = 8;

/**
 * Reads a query: every byte is looked at once, and no compression pointer is followed, because a question has nothing
 * in front of it that it could point to. (A general decoder follows pointers for each record that the header counts;
 * a message of 64 KiB can make it do that 60 million times.)
 */
export function parseQuery(bytes: Buffer): ParsedQuery {
  if (bytes.length < HEADER_BYTES) return IGNORED;
  const id = bytes.readUInt16BE(0);
  const flags = bytes.readUInt16BE(2);
  if ((flags & FLAG_RESPONSE) !== 0) return IGNORED;
  const refused = (code: number): ParsedQuery => ({ kind: 'refused', id, flags, code });
  if (((flags >> 11) & 0xf) !== 0) return refused(ResponseCode.NOTIMP);
  const records = bytes.readUInt16BE(8) + bytes.readUInt16BE(10);
  if (bytes.readUInt16BE(4) !== 1 || bytes.readUInt16BE(6) !== 0 || records > RECORDS_MAX) {
    return refused(ResponseCode.FORMERR);
  }
  const nameEnd = endOfName(bytes, HEADER_BYTES, false);
  const questionEnd = nameEnd + 4;
  if (nameEnd < 0 || questionEnd > bytes.length) return refused(ResponseCode.FORMERR);
  let at = questionEnd;
  let edns: Edns | null = null;
  for (let record = 0; record < records; record++) {
    const owner = at;
    at = endOfName(bytes, at, true);
    if (at < 0 || at + 10 > bytes.length) return refused(ResponseCode.FORMERR);
    if (bytes.readUInt16BE(at) === RecordType.OPT) {
      // One at most, of the root.
      if (edns !== null || bytes[owner] !== 0) return refused(ResponseCode.FORMERR);
      edns = {
        udpBytes: bytes.readUInt16BE(at + 2),
        version: bytes[at + 5]!,
        flags: bytes.readUInt16BE(at + 6),
      };
    }
    at += 10 + bytes.readUInt16BE(at + 8);
    if (at > bytes.length) return refused(ResponseCode.FORMERR);
  }
  return {
    kind: 'query',
    query: {
      id,
      flags,
      name: textOfName(bytes, nameEnd),
      type: bytes.readUInt16BE(nameEnd),
      class: bytes.readUInt16BE(nameEnd + 2),
      question: bytes.subarray(HEADER_BYTES, questionEnd),
      edns,
      bytes: bytes.subarray(0, at),
    },
  };
}

const IGNORED: ParsedQuery = Object.freeze({ kind: 'ignored' });

/** Just after the name that starts at `at`, which may end in a pointer where `mayPoint`; -1 = malformed. */
function endOfName(bytes: Buffer, at: number, mayPoint: boolean): number {
  for (const start = at; at < bytes.length; ) {
    const length = bytes[at]!;
    if (length === 0) return at + 1 - start > NAME_BYTES_MAX ? -1 : at + 1;
    if (length >= 0xc0) return mayPoint && at + 2 <= bytes.length ? at + 2 : -1;
    if (length > 63 || at - start > NAME_BYTES_MAX) return -1;
    at += 1 + length;
  }
  return -1;
}

/** Of the name of the question, which is well formed. */
function textOfName(bytes: Buffer, end: number): string {
  let text = '';
  for (let at = HEADER_BYTES; at < end - 1; ) {
    const length = bytes[at]!;
    const label = bytes.toString('latin1', at + 1, at + 1 + length);
    if (!HOST_LABEL.test(label)) return '';
    text += text === '' ? label : `.${label}`;
    at += 1 + length;
  }
  return text.toLowerCase();
}

const HOST_LABEL = /^[A-Za-z0-9_-]+$/;
