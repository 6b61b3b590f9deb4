/**
 * Reads server name and protocols from the ClientHello that opens a TLS connection (RFC 8446
 * §4.1.2, RFC 6066 §3, RFC 7301), without taking part in the handshake.
 *
 * ```
 * record     type 22 │ version 03 xx │ length 2 │ fragment …          (a hello may span records)
 * handshake  type 1  │ length 3      │ version 2 │ random 32 │ session id │ suites │ compression │ extensions
 * ```
 *
 * Resumable: every byte is looked at once, however the input is cut. Bounded: a hello of more than
 * 16 KiB is malformed. Throws nothing.
 */
export const HelloResult = { NeedMore: 0, Complete: 1, Malformed: 2 } as const;
export type HelloResult = (typeof HelloResult)[keyof typeof HelloResult];

/** Bytes of the handshake message; Envoy's tls_inspector has the same bound. */
export const CLIENT_HELLO_BYTES_MAX = 16 * 1024;
/** Records that carry it: stops a hello drip-fed in one-byte records. */
const RECORDS_MAX = 64;
const PROTOCOLS_MAX = 64;

const RECORD_HEADER_BYTES = 5;
const HANDSHAKE_HEADER_BYTES = 4;
const CONTENT_TYPE_HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const EXTENSION_SERVER_NAME = 0;
const EXTENSION_ALPN = 16;

export class ClientHelloParser {
  /** Lower case, '' where the hello names none. */
  serverName = '';
  /** In the client's order of preference. */
  alpnProtocols: readonly string[] = [];
  /** Why `write` answered Malformed. */
  problem = '';

  #header: number[] = [];
  /** Bytes still owed by the current record. */
  #recordBytes = 0;
  #records = 0;
  /** The handshake message so far, grown as it arrives. */
  #message: Buffer = Buffer.alloc(0);
  #messageBytes = 0;

  write(bytes: Buffer): HelloResult {
    for (let at = 0; at < bytes.length; ) {
      if (this.#recordBytes === 0) {
        this.#header.push(bytes[at]!);
        at++;
        const result = this.#judgeRecordHeader();
        if (result !== HelloResult.NeedMore) return result;
        continue;
      }
      const take = Math.min(this.#recordBytes, bytes.length - at);
      this.#append(bytes.subarray(at, at + take));
      this.#recordBytes -= take;
      at += take;
      const result = this.#judgeMessage();
      if (result !== HelloResult.NeedMore) return result;
    }
    return HelloResult.NeedMore;
  }

  #judgeRecordHeader(): HelloResult {
    const header = this.#header;
    if (header[0] !== CONTENT_TYPE_HANDSHAKE) return this.#malformed('not a handshake record');
    if (header.length > 1 && header[1] !== 3) return this.#malformed('not a TLS version');
    if (header.length < RECORD_HEADER_BYTES) return HelloResult.NeedMore;
    const length = header[3]! * 256 + header[4]!;
    // RFC 8446 §5.1: handshake records are not empty, and hold at most 2^14 bytes.
    if (length === 0 || length > 16_384) return this.#malformed('record length');
    if (++this.#records > RECORDS_MAX) return this.#malformed('too many records');
    this.#recordBytes = length;
    this.#header = [];
    return HelloResult.NeedMore;
  }

  #append(fragment: Buffer): void {
    const needed = Math.min(this.#messageBytes + fragment.length, CLIENT_HELLO_BYTES_MAX + 4);
    if (this.#message.length < needed) {
      const grown = Buffer.alloc(Math.max(needed, Math.min(2 * this.#message.length, 16_388)));
      this.#message.copy(grown, 0, 0, this.#messageBytes);
      this.#message = grown;
    }
    this.#messageBytes += fragment.copy(this.#message, this.#messageBytes);
  }

  #judgeMessage(): HelloResult {
    const message = this.#message;
    if (this.#messageBytes > 0 && message[0] !== CLIENT_HELLO) {
      return this.#malformed('the first handshake message is no ClientHello');
    }
    if (this.#messageBytes < HANDSHAKE_HEADER_BYTES) return HelloResult.NeedMore;
    const length = message.readUIntBE(1, 3);
    if (length > CLIENT_HELLO_BYTES_MAX) return this.#malformed('ClientHello over 16 KiB');
    if (this.#messageBytes < HANDSHAKE_HEADER_BYTES + length) return HelloResult.NeedMore;
    const hello = message.subarray(HANDSHAKE_HEADER_BYTES, HANDSHAKE_HEADER_BYTES + length);
    this.#message = Buffer.alloc(0);
    return this.#readHello(hello);
  }

  #readHello(hello: Buffer): HelloResult {
    let at = 2 + 32; // legacy_version, random
    if (at >= hello.length) return this.#malformed('short ClientHello');
    at += 1 + hello[at]!; // legacy_session_id
    if (at + 2 > hello.length) return this.#malformed('session id');
    at += 2 + hello.readUInt16BE(at); // cipher_suites
    if (at + 1 > hello.length) return this.#malformed('cipher suites');
    at += 1 + hello[at]!; // legacy_compression_methods
    if (at > hello.length) return this.#malformed('compression methods');
    if (at === hello.length) return HelloResult.Complete; // no extensions: TLS 1.2 allows that
    if (at + 2 > hello.length) return this.#malformed('extensions');
    const end = at + 2 + hello.readUInt16BE(at);
    if (end !== hello.length) return this.#malformed('extensions length');
    at += 2;
    let seen = 0; // bit 0: server_name, bit 1: ALPN
    while (at < end) {
      if (at + 4 > end) return this.#malformed('extension header');
      const type = hello.readUInt16BE(at);
      const dataEnd = at + 4 + hello.readUInt16BE(at + 2);
      if (dataEnd > end) return this.#malformed('extension length');
      const data = hello.subarray(at + 4, dataEnd);
      at = dataEnd;
      const bit = type === EXTENSION_SERVER_NAME ? 1 : type === EXTENSION_ALPN ? 2 : 0;
      if (bit === 0) continue;
      // RFC 8446 §4.2: one extension of a type. OpenSSL and we might believe different ones.
      if ((seen & bit) !== 0) return this.#malformed('repeated extension');
      seen |= bit;
      const good = bit === 1 ? this.#readServerName(data) : this.#readAlpn(data);
      if (!good) return this.#malformed(bit === 1 ? 'server name' : 'ALPN');
    }
    return HelloResult.Complete;
  }

  /** RFC 6066 §3: a list with one host_name. */
  #readServerName(data: Buffer): boolean {
    if (data.length < 5 || data.readUInt16BE(0) !== data.length - 2) return false;
    const length = data.readUInt16BE(3);
    if (data[2] !== 0 || length === 0 || length !== data.length - 5 || length > 255) return false;
    for (let at = 5; at < data.length; at++) {
      const byte = data[at]!;
      if (byte <= 0x20 || byte >= 0x7f) return false; // an A-label; never NUL, space or raw UTF-8
    }
    this.serverName = data.toString('latin1', 5).toLowerCase();
    return true;
  }

  /** RFC 7301 §3.1. */
  #readAlpn(data: Buffer): boolean {
    if (data.length < 4 || data.readUInt16BE(0) !== data.length - 2) return false;
    const protocols: string[] = [];
    for (let at = 2; at < data.length; ) {
      const length = data[at]!;
      at++;
      if (length === 0 || at + length > data.length || protocols.length >= PROTOCOLS_MAX) {
        return false;
      }
      protocols.push(data.toString('latin1', at, at + length));
      at += length;
    }
    this.alpnProtocols = protocols;
    return true;
  }

  #malformed(problem: string): HelloResult {
    this.problem = problem;
    return HelloResult.Malformed;
  }
}
