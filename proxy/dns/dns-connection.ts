import type { Socket } from 'node:net';
import { MessageFrames } from './message-frames.ts';

/** `bytes` null: no answer. */
export type Reply = (bytes: Buffer | null) => void;

export interface DnsConnectionOptions {
  readonly after: (delayMs: number, callback: () => void) => () => void;
  /** `reply` is called once. */
  readonly onMessage: (message: Buffer, reply: Reply) => void;
  readonly onClose: (connection: DnsConnection) => void;
}

/** Milliseconds in which a client has to send a whole question, the first and each further one. */
const QUESTION_MS = 10_000;
/** Questions that wait for their answers; further ones are not read meanwhile. */
const WAITING_MAX = 32;
/** Bytes of a question; the name has 255, and the rest is options. */
const QUESTION_BYTES_MAX = 4_096;
/** Bytes of answers that a client does not take; then it is cut off. */
const UNREAD_BYTES_MAX = 1024 * 1024;

/** Questions over TCP (RFC 7766): as many as the client likes, answered in the order in which the answers come. */
export class DnsConnection {
  readonly #socket: Socket;
  readonly #options: DnsConnectionOptions;
  readonly #frames = new MessageFrames(QUESTION_BYTES_MAX);
  #waiting = 0;
  /** The client asks no more, and still reads. */
  #hasEnded = false;
  #cancelDeadline: () => void = () => {};

  constructor(socket: Socket, options: DnsConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('end', () => {
      this.#hasEnded = true;
      if (this.#waiting === 0) socket.end();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#cancelDeadline();
      options.onClose(this);
    });
    this.#expectQuestion();
  }

  /** No answer is owed: it may be closed for another one's sake. */
  get isIdle(): boolean {
    return this.#waiting === 0;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #onData(chunk: Buffer): void {
    const messages = this.#frames.add(chunk);
    if (this.#frames.isTooLong) {
      this.destroy();
      return;
    }
    if (messages.length > 0) this.#expectQuestion();
    for (const message of messages) {
      if (this.#socket.destroyed) return;
      this.#waiting++;
      this.#options.onMessage(message, (bytes) => this.#reply(bytes));
    }
    if (this.#waiting >= WAITING_MAX) this.#socket.pause();
  }

  #reply(bytes: Buffer | null): void {
    const socket = this.#socket;
    this.#waiting--;
    if (socket.destroyed) return;
    if (this.#waiting < WAITING_MAX) socket.resume();
    if (bytes !== null) {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(bytes.length);
      socket.write(Buffer.concat([length, bytes]));
    }
    if (socket.writableLength > UNREAD_BYTES_MAX) socket.destroy();
    else if (this.#hasEnded && this.#waiting === 0) socket.end();
  }

  /** Runs while a question is awaited, from its beginning: a client that trickles bytes does not move it. */
  #expectQuestion(): void {
    this.#cancelDeadline();
    this.#cancelDeadline = this.#options.after(QUESTION_MS, () => {
      if (this.#waiting > 0) this.#expectQuestion();
      else this.destroy();
    });
  }
}
