import { type Answer, encode as encodeMessage } from 'dns-packet';
import { type DnsQuery, FLAG_RESPONSE, FLAG_TRUNCATED, HEADER_BYTES } from './dns-query.ts';
import { ResponseCode } from './record-type.ts';

/** Seconds that clients may keep an answer of ours (Istio's). */
const ANSWER_TTL_S = 30;

/** Bytes that a client without EDNS takes over UDP (RFC 1035 §2.3.4). */
const PLAIN_UDP_BYTES = 512;
/** What we take ourselves, and say: no answer of this size is fragmented (DNS flag day 2020). */
const OWN_UDP_BYTES = 1232;
export const TCP_BYTES_MAX = 65_535;

const FLAG_AUTHORITATIVE = 0x0400;
const FLAG_RECURSION_DESIRED = 0x0100;
const FLAG_RECURSION_AVAILABLE = 0x0080;
const FLAG_CHECKING_DISABLED = 0x0010;
const OPCODE = 0x7800;

/** One record of an answer; owner '' = the name that was asked for. */
export type ReplyRecord = { readonly owner: string } & (
  | { readonly type: 'A' | 'AAAA'; readonly data: string }
  | { readonly type: 'CNAME'; readonly data: string }
  | { readonly type: 'SRV'; readonly data: { readonly port: number; readonly target: string } }
);

/** Bytes that the client takes over UDP. */
export function udpBytesMax({ edns }: DnsQuery): number {
  return Math.max(PLAIN_UDP_BYTES, edns?.udpBytes ?? 0);
}

/** An answer from the mesh's own names: authoritative. What does not fit is left out, and the client told so. */
export function meshReply(
  query: DnsQuery,
  answers: readonly ReplyRecord[],
  additionals: readonly ReplyRecord[],
  bytesMax: number,
): Buffer {
  const opt = optOf(query, 0);
  const parts: Buffer[] = [];
  let room = bytesMax - HEADER_BYTES - query.question.length - opt.length;
  const fill = (records: readonly ReplyRecord[]): number => {
    let count = 0;
    for (const each of records) {
      const bytes = encodeRecord(each);
      if (bytes.length > room) break;
      room -= bytes.length;
      parts.push(bytes);
      count++;
    }
    return count;
  };
  const answerCount = fill(answers);
  const isWhole = answerCount === answers.length;
  const additionalCount = isWhole ? fill(additionals) : 0;
  const flags = FLAG_AUTHORITATIVE | (isWhole ? 0 : FLAG_TRUNCATED);
  const head = header(query, flags, ResponseCode.NOERROR, 1, answerCount);
  head.writeUInt16BE(additionalCount + (opt.length > 0 ? 1 : 0), 10);
  return Buffer.concat([head, query.question, ...parts, opt]);
}

/** A code and nothing else. */
export function codeReply(query: DnsQuery, code: number): Buffer {
  const opt = optOf(query, code >> 4);
  const head = header(query, 0, code & 0xf, 1, 0);
  head.writeUInt16BE(opt.length > 0 ? 1 : 0, 10);
  return Buffer.concat([head, query.question, opt]);
}

/** To a message that could not be read as far as its question. */
export function headerReply(id: number, flags: number, code: number): Buffer {
  return header({ id, flags }, 0, code, 0, 0);
}

/**
 * A name server's answer as the client asked for it: its id, its spelling of the name. One that is longer than the
 * client takes is cut to its question, and the client told to come again over TCP.
 */
export function forwardedReply(query: DnsQuery, response: Buffer, bytesMax: number): Buffer {
  if (response.length > bytesMax) return truncatedReply(query, response.readUInt16BE(2));
  const reply = Buffer.from(response);
  reply.writeUInt16BE(query.id, 0);
  query.question.copy(reply, HEADER_BYTES);
  return reply;
}

function truncatedReply(query: DnsQuery, responseFlags: number): Buffer {
  const opt = optOf(query, 0);
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUInt16BE(query.id, 0);
  head.writeUInt16BE(responseFlags | FLAG_TRUNCATED, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(opt.length > 0 ? 1 : 0, 10);
  return Buffer.concat([head, query.question, opt]);
}

function header(
  { id, flags }: Pick<DnsQuery, 'id' | 'flags'>,
  own: number,
  code: number,
  questions: number,
  answers: number,
): Buffer {
  const kept = flags & (OPCODE | FLAG_RECURSION_DESIRED | FLAG_CHECKING_DISABLED);
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.writeUInt16BE(id, 0);
  bytes.writeUInt16BE(FLAG_RESPONSE | kept | own | FLAG_RECURSION_AVAILABLE | code, 2);
  bytes.writeUInt16BE(questions, 4);
  bytes.writeUInt16BE(answers, 6);
  return bytes;
}

/** A client with EDNS is answered with EDNS (RFC 6891 §6.1.1). */
function optOf({ edns }: DnsQuery, extendedRcode: number): Buffer {
  if (edns === null) return NO_BYTES;
  return encode({
    type: 'OPT',
    name: '.',
    udpPayloadSize: OWN_UDP_BYTES,
    extendedRcode,
    ednsVersion: 0,
    flags: edns.flags & 0x8000,
    flag_do: (edns.flags & 0x8000) !== 0,
    options: [],
  });
}

const NO_BYTES = Buffer.alloc(0);
/** Points to the question's name, which follows the header. */
const QUESTION_NAME = Buffer.from([0xc0, HEADER_BYTES]);

function encodeRecord(reply: ReplyRecord): Buffer {
  const { owner } = reply;
  const common = { name: owner === '' ? '.' : owner, ttl: ANSWER_TTL_S, class: 'IN' as const };
  const bytes =
    reply.type === 'SRV'
      ? encode({ ...common, type: 'SRV', data: { priority: 0, weight: 100, ...reply.data } })
      : encode({ ...common, type: reply.type, data: reply.data });
  // dns-packet knows no compression; the root that it wrote is one byte.
  return owner === '' ? Buffer.concat([QUESTION_NAME, bytes.subarray(1)]) : bytes;
}

function encode(answer: Answer): Buffer {
  return encodeMessage({ answers: [answer] }).subarray(HEADER_BYTES);
}
