import { MESSAGE_SLABS } from '../http/slab.ts';
import type { CollectingTransport, WriteSource } from '../http/transport.ts';
import { WriteBuffer } from '../http/write-buffer.ts';
import { BodyReader } from './body-reader.ts';
import { BodyWriter } from './body-writer.ts';
import { HeadEncoder } from './encoder.ts';
import { FieldSection } from './field-section.ts';
import { HeadParser, SectionKind } from './head-parser.ts';
import { RequestHeadReader } from './request-head.ts';
import type { Http1ServerOptions } from './server-connection.ts';

/**
 * What a server connection works with from the first byte of a request until its exchange is over and what it wrote is
 * with the transport.
 */
export class Http1ServerParts {
  readonly parser: HeadParser;
  readonly fields = new FieldSection();
  readonly headReader: RequestHeadReader;
  readonly body: BodyReader;
  readonly out = new WriteBuffer(MESSAGE_SLABS);
  readonly encoder = new HeadEncoder(this.out);
  readonly writer = new BodyWriter(this.out);

  constructor({ limits, scheme }: Http1ServerOptions) {
    this.parser = new HeadParser(SectionKind.Request, limits);
    this.headReader = new RequestHeadReader(scheme);
    this.body = new BodyReader(limits);
  }
}

/** Sets that wait for a connection; as many requests as are under way at one time on most days. */
const SPARE_MAX = 256;

/**
 * The parts of connections with equal options. A connection that is idle holds none: most connections of a proxy are
 * idle, and with the last head that they read and wrote the parts are more than a third of what one holds.
 */
export class Http1ServerPartsPool {
  readonly #options: Http1ServerOptions;
  readonly #spare: Http1ServerParts[] = [];

  constructor(options: Http1ServerOptions) {
    this.#options = options;
  }

  /** Parts that write to `transport`; `source` is told at the end of a turn in which they have. */
  take(transport: CollectingTransport, source: WriteSource): Http1ServerParts {
    const parts = this.#spare.pop() ?? new Http1ServerParts(this.#options);
    parts.out.attach(transport, source);
    return parts;
  }

  /** `parts` stand between two messages, and nobody who had them writes or reads with them again. */
  give(parts: Http1ServerParts): void {
    parts.out.detach();
    if (this.#spare.length < SPARE_MAX) this.#spare.push(parts);
  }
}

const pools = new WeakMap<Http1ServerOptions, Http1ServerPartsPool>();

export function partsPoolOf(options: Http1ServerOptions): Http1ServerPartsPool {
  let pool = pools.get(options);
  if (pool === undefined) {
    pool = new Http1ServerPartsPool(options);
    pools.set(options, pool);
  }
  return pool;
}
