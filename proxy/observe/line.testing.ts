import type { LineFormat } from './line-format.ts';
import { LineQueue } from './line-queue.ts';
import { RequestRecord } from './request-record.ts';

/** A line of this text, whatever the request. */
export function lineOf(text: string): LineFormat {
  return { write: (_, line) => line.text(text) };
}

/** A record without anything, for lines that say nothing of it. */
export const ANY_RECORD = new RequestRecord(0, 0, {
  localAddress: '',
  remoteAddress: '',
  requestedServerName: '',
  peerPrincipal: '',
  localPrincipal: '',
  mutualTls: false,
});

/** What a format writes of a record, in a queue of its own. */
export function lineText(format: LineFormat, record: RequestRecord): string {
  return new LineReader().read(format, record);
}

/** Lines written one after the other into one queue, each read back as text. */
export class LineReader {
  readonly #queue = new LineQueue(8 * 1024 * 1024);

  read(format: LineFormat, record: RequestRecord): string {
    this.#queue.begin();
    format.write(record, this.#queue);
    const { bytes, from, at } = this.#queue;
    const text = bytes.toString('utf8', from, at);
    this.#queue.end();
    // As after a write that lags: several lines leave together.
    if (this.#queue.queuedLines > 20 && this.#queue.take(false)) this.#queue.release();
    return text;
  }
}
