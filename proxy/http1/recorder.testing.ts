import type { HeaderBlock } from '../http/header-block.ts';
import { type RequestHead, ResponseHead } from '../http/message.ts';
import type {
  BodySink,
  ClientConnection,
  ResetReason,
  ResponseSink,
  ServerHandler,
  ServerStream,
} from '../http/stream.ts';
import type { CollectingTransport, WriteSource } from '../http/transport.ts';

/** For tests: a transport that is a list. Whoever looks at `sent`, or ends the transport, ends a turn. */
export class RecordingTransport implements CollectingTransport {
  ended = false;
  closedAfterFlush = false;
  destroyed = false;
  readingPaused = false;
  /** What `write` answers. */
  flowing = true;
  bufferedBytes = 0;
  #sent = '';
  #source: WriteSource | null = null;

  get sent(): string {
    this.flush();
    return this.#sent;
  }

  write(bytes: Buffer | string): boolean {
    if (this.destroyed || this.closedAfterFlush || this.ended) return this.flowing;
    this.#sent += typeof bytes === 'string' ? bytes : bytes.toString('latin1');
    return this.flowing;
  }
  flushLater(source: WriteSource): void {
    this.#source = source;
  }
  /** The end of a turn. */
  flush(): void {
    const source = this.#source;
    this.#source = null;
    source?.flush();
  }
  end(): void {
    this.flush();
    this.ended = true;
  }
  closeAfterFlush(): void {
    this.flush();
    this.closedAfterFlush = true;
  }
  abort(): void {
    this.flush();
    this.destroyed = true;
  }
  destroy(): void {
    this.flush();
    this.destroyed = true;
  }
  pauseReading(): void {
    this.readingPaused = true;
  }
  resumeReading(): void {
    this.readingPaused = false;
  }
}

/** Events as lines; data that arrives in pieces is one line, so that cutting shows no difference. */
export class EventLog {
  readonly lines: string[] = [];
  #dataOpen = false;

  add(line: string): void {
    this.lines.push(line);
    this.#dataOpen = false;
  }

  data(chunk: Buffer, endStream: boolean): void {
    if (chunk.length > 0) {
      const text = chunk.toString('latin1');
      if (this.#dataOpen) this.lines[this.lines.length - 1] += text;
      else this.lines.push(`data ${text}`);
      this.#dataOpen = true;
    }
    if (endStream) this.add('end');
  }
}

function describeRequest(head: RequestHead, endStream: boolean): string {
  const parts = [head.method, head.path === '' ? '-' : head.path];
  parts.push(`${head.scheme}://${head.authority}`);
  if (head.version !== 'HTTP/1.1') parts.push(head.version);
  if (head.absoluteForm) parts.push('absolute');
  if (head.upgrade !== '') parts.push(`upgrade=${head.upgrade}`);
  if (head.contentLength >= 0) parts.push(`length=${head.contentLength}`);
  return `${parts.join(' ')}${describeFields(head.headers)}${endStream ? ' end' : ''}`;
}

function describeResponse(head: ResponseHead, endStream: boolean): string {
  const parts = [`${head.status}`];
  if (head.version !== 'HTTP/1.1') parts.push(head.version);
  if (head.upgrade) parts.push('tunnel');
  if (head.contentLength >= 0) parts.push(`length=${head.contentLength}`);
  return `${parts.join(' ')}${describeFields(head.headers)}${endStream ? ' end' : ''}`;
}

export function describeFields(headers: HeaderBlock): string {
  let text = '';
  for (let at = 0; at < headers.length; at += 2) text += ` [${headers[at]}: ${headers[at + 1]}]`;
  return text;
}

/** What a test does when a request arrives; the default answers 200 when the request is complete. */
export type Answer = (stream: ServerStream, head: RequestHead, complete: boolean) => void;

export const answerWhenComplete: Answer = (stream, _head, complete) => {
  if (complete) stream.writeHead(new ResponseHead(200, []), true);
};

/** A server handler that writes everything down. */
export class RecordingHandler implements ServerHandler {
  readonly log = new EventLog();
  readonly streams: ServerStream[] = [];
  readonly heads: RequestHead[] = [];
  readonly #answer: Answer;

  constructor(answer: Answer = answerWhenComplete) {
    this.#answer = answer;
  }

  onRequest(stream: ServerStream, head: RequestHead, endStream: boolean): BodySink {
    this.log.add(describeRequest(head, endStream));
    this.streams.push(stream);
    this.heads.push(head);
    this.#answer(stream, head, endStream);
    const { log } = this;
    const answer = this.#answer;
    return {
      onData(chunk: Buffer, end: boolean) {
        log.data(chunk, end);
        if (end) answer(stream, head, true);
      },
      onTrailers(trailers: HeaderBlock) {
        log.add(`trailers${describeFields(trailers)}`);
        answer(stream, head, true);
      },
      onReset(reason: ResetReason, detail: string) {
        log.add(`reset ${reason} ${detail}`);
      },
      onDrain() {
        log.add('drain');
      },
    };
  }

  onProtocolError(status: number, detail: string): void {
    this.log.add(`refused ${status} ${detail}`);
  }
}

/** A response sink that writes everything down. */
export class RecordingSink implements ResponseSink {
  readonly log = new EventLog();

  onInformational(head: ResponseHead): void {
    this.log.add(`informational ${describeResponse(head, false)}`);
  }
  onResponse(head: ResponseHead, endStream: boolean): void {
    this.log.add(describeResponse(head, endStream));
  }
  onData(chunk: Buffer, endStream: boolean): void {
    this.log.data(chunk, endStream);
  }
  onTrailers(trailers: HeaderBlock): void {
    this.log.add(`trailers${describeFields(trailers)}`);
  }
  onReset(reason: ResetReason, detail: string): void {
    this.log.add(`reset ${reason} ${detail}`);
  }
  onDrain(): void {
    this.log.add('drain');
  }
}

/** Counts what the pool would be told. */
export class RecordingListener {
  streamEnds = 0;
  onStreamEnd(_connection: ClientConnection): void {
    this.streamEnds++;
  }
}

/** Every way to cut `wire`: whole, in two at every offset, byte by byte. */
export function* cuts(wire: string): Generator<{ how: string; pieces: Buffer[] }> {
  const bytes = Buffer.from(wire, 'latin1');
  yield { how: 'whole', pieces: [bytes] };
  yield { how: 'byte by byte', pieces: Array.from(bytes, (byte) => Buffer.from([byte])) };
  for (let at = 1; at < bytes.length; at++) {
    yield { how: `cut at ${at}`, pieces: [bytes.subarray(0, at), bytes.subarray(at)] };
  }
}
