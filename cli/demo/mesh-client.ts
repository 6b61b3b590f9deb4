import { Agent, request } from 'node:http';
import { splitHostPort } from '../run/sidecar-bootstrap.ts';

export interface MeshAnswer {
  /** 0 where no answer came. */
  readonly status: number;
  readonly body: string;
  readonly elapsedMs: number;
  /** Why no answer came, or ''. */
  readonly error: string;
}

/** An app of the demo that only calls: plain HTTP through its sidecar as HTTP proxy, on kept connections. */
export class MeshClient {
  readonly #proxy: { host: string; port: number };
  #isClosed = false;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 16 });

  constructor(outbound: string) {
    this.#proxy = splitHostPort(outbound);
  }

  /** GET of `http://service:9080/…`; never rejects. */
  get(url: string, headers: Readonly<Record<string, string>> = {}): Promise<MeshAnswer> {
    const startMs = performance.now();
    return new Promise((resolve) => {
      const answer = (status: number, body: string, error: string) =>
        resolve({ status, body, error, elapsedMs: performance.now() - startMs });
      if (this.#isClosed) return answer(0, '', 'closed');
      const outgoing = request(
        {
          ...this.#proxy,
          path: url,
          agent: this.#agent,
          timeout: TIMEOUT_MS,
          headers: { host: new URL(url).host, ...headers },
        },
        (response) => {
          let body = '';
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => {
            body += chunk;
          });
          response.on('end', () => answer(response.statusCode ?? 0, body, ''));
          response.on('error', (error) => answer(0, body, error.message));
        },
      );
      outgoing.on('timeout', () =>
        outgoing.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)),
      );
      outgoing.on('error', (error) => answer(0, '', error.message));
      outgoing.end();
    });
  }

  /** What is under way ends with an error. */
  close(): void {
    this.#isClosed = true;
    this.#agent.destroy();
  }
}

const TIMEOUT_MS = 15_000;
