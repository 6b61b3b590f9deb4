import { randomInt } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import type { HostPort } from '../tcp/socket-address.ts';
import { type DnsQuery, FLAG_RESPONSE, FLAG_TRUNCATED, HEADER_BYTES } from './dns-query.ts';
import { MessageFrames } from './message-frames.ts';
import { ResponseCode } from './record-type.ts';

export interface ForwarderOptions {
  readonly servers: () => readonly HostPort[];
  /** Calls back once after `delayMs`; returns the way to call it off. */
  readonly after: (delayMs: number, callback: () => void) => () => void;
  /** Questions on their way at a time; the oldest is given up for one more. */
  readonly pendingMax: number;
  /** Milliseconds for one question, all servers and tries. */
  readonly totalMs: number;
}

/** Istio's time; questions that one dead server can hold up. */
export const FORWARDER_DEFAULTS = { pendingMax: 512, totalMs: 5_000 } as const;

/** Tries of one question at least, because a packet may be lost. */
const TRIES_MIN = 2;

/**
 * Asks name servers what the mesh does not know. Each question goes out with an id and a source port that cannot be
 * guessed, from a socket of its own that takes packets of the asked server alone, and an answer has to repeat both id
 * and question (RFC 5452). A server that does not answer in time, or refuses, hands over to the next one.
 */
export class Forwarder {
  readonly #options: ForwarderOptions;
  /** Oldest first. */
  readonly #pending = new Set<Exchange>();

  constructor(options: ForwarderOptions) {
    this.#options = options;
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** `done` gets the answer as it came, or null; once, never within this call. `overTcp`: one that was cut is asked for again over TCP. */
  forward(query: DnsQuery, overTcp: boolean, done: (response: Buffer | null) => void): void {
    const { servers, pendingMax } = this.#options;
    const targets = servers();
    if (targets.length === 0) {
      queueMicrotask(() => done(null));
      return;
    }
    if (this.#pending.size >= pendingMax) {
      const [oldest] = this.#pending;
      oldest?.finish(null);
    }
    const exchange = new Exchange(query, targets, overTcp, this.#options, (response) => {
      this.#pending.delete(exchange);
      done(response);
    });
    this.#pending.add(exchange);
    exchange.start();
  }

  /**
   * Whether a query that came from this port with this id is one that we sent: rules that redirect us to ourselves
   * would let it go round for ever. It is given up.
   */
  isOwn(port: number, id: number): boolean {
    for (const exchange of this.#pending) {
      if (exchange.id !== id || exchange.localPort !== port) continue;
      exchange.finish(null);
      return true;
    }
    return false;
  }

  close(): void {
    for (const exchange of [...this.#pending]) exchange.finish(null);
  }
}

/** One question on its way. */
class Exchange {
  readonly id = randomInt(0x10000);
  /** Of the socket in use; 0 = none yet. */
  localPort = 0;
  readonly #query: DnsQuery;
  readonly #bytes: Buffer;
  readonly #servers: readonly HostPort[];
  readonly #overTcp: boolean;
  readonly #options: ForwarderOptions;
  readonly #done: (response: Buffer | null) => void;
  readonly #triesMax: number;
  #tries = 0;
  #socket: Socket | null = null;
  #closeTcp: () => void = () => {};
  #cancelTry: () => void = () => {};
  #cancelTotal: () => void = () => {};
  /** The best that was said so far: better than nothing. */
  #fallback: Buffer | null = null;
  #isDone = false;

  constructor(
    query: DnsQuery,
    servers: readonly HostPort[],
    overTcp: boolean,
    options: ForwarderOptions,
    done: (response: Buffer | null) => void,
  ) {
    this.#query = query;
    this.#bytes = Buffer.from(query.bytes);
    this.#bytes.writeUInt16BE(this.id, 0);
    this.#servers = servers;
    this.#overTcp = overTcp;
    this.#options = options;
    this.#done = done;
    this.#triesMax = Math.max(TRIES_MIN, servers.length);
  }

  start(): void {
    this.#cancelTotal = this.#options.after(this.#options.totalMs, () =>
      this.finish(this.#fallback),
    );
    this.#try();
  }

  finish(response: Buffer | null): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#cancelTry();
    this.#cancelTotal();
    this.#closeSocket();
    this.#closeTcp();
    this.#done(response);
  }

  #try(): void {
    const { after, totalMs } = this.#options;
    const server = this.#servers[this.#tries % this.#servers.length]!;
    const isAgain = this.#tries > 0 && this.#servers.length === 1;
    this.#tries++;
    const tryNumber = this.#tries;
    this.#cancelTry();
    this.#cancelTry = after(totalMs / this.#triesMax, () => this.#failed(tryNumber));
    // The one server there is may still answer the first packet.
    if (isAgain && this.#socket !== null && this.localPort !== 0) {
      this.#socket.send(this.#bytes, () => {});
      return;
    }
    this.#closeSocket();
    const socket = createSocket(isIPv6(server.host) ? 'udp6' : 'udp4');
    this.#socket = socket;
    socket.on('error', () => this.#failed(tryNumber));
    socket.on('message', (message) => {
      if (this.#socket === socket) this.#onMessage(message, server);
    });
    socket.on('connect', () => {
      if (this.#socket !== socket) return;
      this.localPort = socket.address().port;
      socket.send(this.#bytes, () => {});
    });
    socket.connect(server.port, server.host);
  }

  /** This try leads nowhere: the next one, if there is one. Of a try that is over already, nothing. */
  #failed(tryNumber: number): void {
    if (this.#isDone || tryNumber !== this.#tries) return;
    if (this.#tries < this.#triesMax) this.#try();
    else this.finish(this.#fallback);
  }

  #onMessage(message: Buffer, server: HostPort): void {
    if (this.#isDone || !this.#answers(message)) return;
    const code = message[3]! & 0xf;
    if (code === ResponseCode.SERVFAIL || code === ResponseCode.REFUSED) {
      this.#fallback ??= message;
      this.#failed(this.#tries);
      return;
    }
    const isCut = (message.readUInt16BE(2) & FLAG_TRUNCATED) !== 0;
    if (!isCut || !this.#overTcp) {
      this.finish(message);
      return;
    }
    this.#fallback = message;
    this.#cancelTry();
    this.#closeSocket();
    this.#askOverTcp(server);
  }

  /** An id and a question that are not ours are somebody's guess, and change nothing. */
  #answers(message: Buffer): boolean {
    const { question } = this.#query;
    const end = HEADER_BYTES + question.length;
    return (
      message.length >= end &&
      message.readUInt16BE(0) === this.id &&
      (message.readUInt16BE(2) & FLAG_RESPONSE) !== 0 &&
      message.readUInt16BE(4) === 1 &&
      equalIgnoringCase(message.subarray(HEADER_BYTES, end), question)
    );
  }

  #askOverTcp(server: HostPort): void {
    const socket = connect({ host: server.host, port: server.port });
    const frames = new MessageFrames();
    this.#closeTcp = () => socket.destroy();
    const over = (): void => this.finish(this.#fallback);
    socket.on('error', over);
    socket.on('close', over);
    socket.on('data', (chunk: Buffer) => {
      // One question, one answer: whoever says anything else first is not asked any further.
      const [message] = frames.add(chunk);
      if (message !== undefined) this.finish(this.#answers(message) ? message : this.#fallback);
    });
    const length = Buffer.alloc(2);
    length.writeUInt16BE(this.#bytes.length);
    socket.write(Buffer.concat([length, this.#bytes]));
  }

  #closeSocket(): void {
    this.localPort = 0;
    const socket = this.#socket;
    if (socket === null) return;
    this.#socket = null;
    socket.close();
  }
}

function equalIgnoringCase(a: Buffer, b: Buffer): boolean {
  for (let at = 0; at < a.length; at++) {
    const [x, y] = [a[at]!, b[at]!];
    // Letters differ in one bit; a length byte never is a letter's (RFC 1035 §2.3.3, 63 at most).
    if (x !== y && !((x ^ y) === 0x20 && isLetter(x))) return false;
  }
  return true;
}

function isLetter(byte: number): boolean {
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}
