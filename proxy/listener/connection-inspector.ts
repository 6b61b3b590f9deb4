import { ClientHelloParser, HelloResult } from '../tls/client-hello.ts';
import { detectHttp, REQUEST_LINE_PEEK_BYTES } from './http-detection.ts';

/** What is known of a connection before a filter chain is picked. */
export interface Inspection {
  readonly transportProtocol: 'tls' | 'raw_buffer';
  /** From the ClientHello, lower case, or ''. */
  readonly serverName: string;
  /** TLS: what the client offers. Plain text: `http/1.1`, `http/1.0` or `h2c` where it is that. */
  readonly applicationProtocols: readonly string[];
}

export const PLAIN: Inspection = Object.freeze({
  transportProtocol: 'raw_buffer',
  serverName: '',
  applicationProtocols: [],
});

export type InspectionResult =
  | { readonly kind: 'needMore' }
  | { readonly kind: 'decided'; readonly inspection: Inspection }
  /** It began as TLS and is not: nothing sensible can follow. */
  | { readonly kind: 'malformed'; readonly detail: string };

const NEED_MORE: InspectionResult = Object.freeze({ kind: 'needMore' });

/**
 * Looks at the first bytes of a connection: TLS, HTTP, or neither (PR-02). Keeps them, because
 * whoever takes the connection over must see them; at most a ClientHello or a request line.
 */
export class ConnectionInspector {
  readonly #http: boolean;
  #hello: ClientHelloParser | null = null;
  #chunks: Buffer[] = [];
  #bytes = 0;

  /** `http`: look for a request line too, where it is not TLS. */
  constructor(http: boolean) {
    this.#http = http;
  }

  /** Bytes kept so far. */
  get bytes(): number {
    return this.#bytes;
  }

  inspect(bytes: Buffer): InspectionResult {
    if (bytes.length === 0) return NEED_MORE;
    const first = this.#bytes === 0;
    this.#keep(bytes);
    if (first && bytes[0] === TLS_HANDSHAKE_RECORD) this.#hello = new ClientHelloParser();
    if (this.#hello !== null) return this.#inspectHello(this.#hello, bytes);
    if (!this.#http) return { kind: 'decided', inspection: PLAIN };
    const protocol = detectHttp(this.#joined());
    if (protocol === 'needMore') return NEED_MORE;
    const applicationProtocols = protocol === 'other' ? [] : [protocol];
    return { kind: 'decided', inspection: { ...PLAIN, applicationProtocols } };
  }

  /** All bytes seen; the inspector keeps them no longer. */
  take(): Buffer {
    const bytes = this.#joined();
    this.#chunks = [];
    this.#bytes = 0;
    return bytes;
  }

  #inspectHello(hello: ClientHelloParser, bytes: Buffer): InspectionResult {
    switch (hello.write(bytes)) {
      case HelloResult.NeedMore:
        return NEED_MORE;
      case HelloResult.Complete:
        return {
          kind: 'decided',
          inspection: {
            transportProtocol: 'tls',
            serverName: hello.serverName,
            applicationProtocols: hello.alpnProtocols,
          },
        };
      case HelloResult.Malformed:
        return { kind: 'malformed', detail: `bad ClientHello: ${hello.problem}` };
    }
  }

  #keep(bytes: Buffer): void {
    // A slice would hold the socket's whole read buffer (64 KiB) while the peer takes its time (A1.4).
    this.#chunks.push(bytes.length < REQUEST_LINE_PEEK_BYTES ? Buffer.from(bytes) : bytes);
    this.#bytes += bytes.length;
    if (this.#chunks.length >= CHUNKS_MAX) this.#joined();
  }

  #joined(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks, this.#bytes)];
    return this.#chunks[0] ?? EMPTY;
  }
}

const TLS_HANDSHAKE_RECORD = 0x16;
const CHUNKS_MAX = 32;
const EMPTY = Buffer.alloc(0);
