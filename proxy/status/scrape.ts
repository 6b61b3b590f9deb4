import { connectProblem } from './probe-outcome.ts';
import type { ScrapeTarget } from './scrape-target.ts';

/** Not by `import`, which would load undici too (`admin/http-endpoint.ts`). */
const { get } = process.getBuiltinModule('node:http');

export interface ScrapeHeaders {
  readonly accept: string;
  readonly userAgent: string;
}

export type ScrapeResult =
  | { readonly ok: true; readonly format: 'prometheus' | 'openmetrics'; readonly text: string }
  | { readonly ok: false; readonly problem: string };

export interface ScrapeOptions {
  readonly headers: ScrapeHeaders;
  readonly timeoutMs: number;
  /** Bytes that this target may still send. Called with each chunk; false = the whole page is too long. */
  readonly take: (bytes: number) => boolean;
}

/** Fetches the metrics of one page of the app. Never rejects. */
export function scrape(target: ScrapeTarget, options: ScrapeOptions): Promise<ScrapeResult> {
  const { headers, timeoutMs, take } = options;
  return new Promise((resolve) => {
    const failed = (problem: string): void => {
      clearTimeout(timer);
      resolve({ ok: false, problem });
      request.destroy();
    };
    const request = get(
      {
        host: 'localhost',
        port: target.port,
        path: target.path,
        agent: false,
        headers: {
          accept: headers.accept,
          'user-agent': headers.userAgent,
          'x-prometheus-scrape-timeout-seconds': String(timeoutMs / 1000),
          connection: 'close',
        },
      },
      (response) => {
        const format = formatOf(response.headers['content-type']);
        if (response.statusCode !== 200) failed(`answered ${response.statusCode}`);
        else if (format === null) {
          failed(`answered with ${response.headers['content-type']}, which is no page of metrics`);
        }
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => {
          if (take(chunk.length)) chunks.push(chunk);
          else failed('the pages of the app are longer than 10 MiB in all');
        });
        response.on('error', (error) => failed(connectProblem(error)));
        response.on('end', () => {
          clearTimeout(timer);
          // Bytes that are no UTF-8 would spoil the page for the scraper; they become U+FFFD.
          const text = Buffer.concat(chunks).toString();
          if (format !== null) resolve({ ok: true, format, text });
        });
      },
    );
    const timer = setTimeout(() => failed(`no answer within ${timeoutMs / 1000} s`), timeoutMs);
    request.on('error', (error) => failed(connectProblem(error)));
  });
}

/** By the media type; a page without one is read as text, as Prometheus 2 did. Null: something else. */
function formatOf(contentType = 'text/plain'): 'prometheus' | 'openmetrics' | null {
  const type = contentType.split(';')[0]!.trim().toLowerCase();
  if (type === 'application/openmetrics-text') return 'openmetrics';
  return type === 'text/plain' || type === '' ? 'prometheus' : null;
}
