import { type EndpointReply, type EndpointRequest, plain } from '../admin/http-endpoint.ts';
import { compileNameFilter } from '../admin/name-filter.ts';
import type { Counter } from '../observe/metric.ts';
import {
  CONTENT_TYPES,
  type ExpositionFormat,
  negotiateFormat,
  renderPrometheus,
} from '../observe/render-prometheus.ts';
import type { StatsRegistry } from '../observe/stats.ts';
import { checkExposition } from './exposition-lines.ts';
import { type ScrapeHeaders, type ScrapeResult, scrape } from './scrape.ts';
import type { ScrapeTarget } from './scrape-target.ts';

/** Bytes of all pages of the app in one scrape. */
const APP_BYTES_MAX = 10 * 1024 * 1024;
/** Scrapes of the app that differ by what they accept, at once. Equal ones share one. */
const FLIGHTS_MAX = 4;
/** Prometheus' default; less where the scraper says it waits less. */
const TIMEOUT_MS = 10_000;
/** Left of the scraper's time for the answer to arrive. */
const ANSWER_MS = 500;
const TIMEOUT_MS_MAX = 120_000;
const ACCEPT_CHARS_MAX = 1024;
/** Characters of one piece of the answer. */
const PIECE_CHARS = 64 * 1024;
const TEXT_ONLY = 'text/plain;version=0.0.4';

export interface MergedMetricsOptions {
  readonly registry: StatsRegistry;
  readonly targets: readonly ScrapeTarget[];
  readonly log: { warn(fields: object, message: string): void };
}

/** What the app gave: its text, in one format. */
interface AppPages {
  readonly format: ExpositionFormat;
  readonly texts: readonly string[];
}

/**
 * The metrics of the sidecar and of its app on one page (OB-05). The app is asked as the scraper asks; what fails
 * there is counted and leaves the sidecar's part whole.
 */
export class MergedMetrics {
  readonly #options: MergedMetricsOptions;
  readonly #scrapes: Counter;
  readonly #failures: Counter;
  readonly #flights = new Map<string, Promise<AppPages | null>>();
  /** Last problem by target, so that a log line comes with each change and not with each scrape. */
  readonly #problems = new Map<ScrapeTarget, string>();

  constructor(options: MergedMetricsOptions) {
    this.#options = options;
    const { registry } = options;
    this.#scrapes = registry.counter('istio_agent_scrapes_total', 'Scrapes of the merged metrics');
    this.#failures = registry.counter(
      'istio_agent_scrape_failures_total',
      'Pages of the app that could not be merged',
      [['type', 'application']],
    );
  }

  async page({ query, accept, headers }: EndpointRequest): Promise<EndpointReply> {
    const wanted = compileNameFilter(query.get('filter'));
    if (typeof wanted !== 'function') return plain(400, `filter: ${wanted.problem}\n`);
    this.#scrapes.add(1);
    const app = await this.#appPages(
      {
        accept: (accept ?? '*/*').slice(0, ACCEPT_CHARS_MAX),
        userAgent: headers['user-agent'] ?? 'weft',
      },
      timeoutMs(headers['x-prometheus-scrape-timeout-seconds']),
    );
    const format = app?.format ?? negotiateFormat(accept);
    const own = renderPrometheus(this.#options.registry, {
      format,
      wanted,
      usedOnly: query.has('usedonly'),
    });
    return {
      status: 200,
      contentType: CONTENT_TYPES[format],
      body: merged(own, app?.texts ?? [], format),
    };
  }

  /** Null: there is no app to ask, or no page of it came. Scrapes at the same time share one. */
  async #appPages(headers: ScrapeHeaders, timeout: number): Promise<AppPages | null> {
    if (this.#options.targets.length === 0) return null;
    const running = this.#flights.get(headers.accept);
    if (running !== undefined) return running;
    if (this.#flights.size >= FLIGHTS_MAX) {
      this.#failures.add(this.#options.targets.length);
      return null;
    }
    const flight = this.#scrapeApp(headers, timeout).finally(() => {
      this.#flights.delete(headers.accept);
    });
    this.#flights.set(headers.accept, flight);
    return flight;
  }

  async #scrapeApp(headers: ScrapeHeaders, timeout: number): Promise<AppPages | null> {
    const { targets } = this.#options;
    const endMs = performance.now() + timeout;
    const first = await this.#scrapeAll(targets, headers, timeout);
    const formats = new Set(first.flatMap((result) => (result.ok ? [result.format] : [])));
    let results = first;
    if (formats.size > 1) {
      // One page cannot be both: those that answered in OpenMetrics are asked again for text.
      const left = Math.max(1, endMs - performance.now());
      const isOther = (result: ScrapeResult) => result.ok && result.format === 'openmetrics';
      const others = targets.filter((_, index) => isOther(first[index]!));
      const again = await this.#scrapeAll(others, { ...headers, accept: TEXT_ONLY }, left);
      results = first.map((result) => (isOther(result) ? onlyText(again.shift()!) : result));
    }
    const texts: string[] = [];
    for (const [index, result] of results.entries()) {
      const checked = result.ok ? await checkExposition(result.text) : result;
      this.#note(targets[index]!, 'problem' in checked ? checked.problem : '');
      if (!('problem' in checked)) texts.push(checked.text);
    }
    if (texts.length === 0) return null;
    return { format: formats.size > 1 ? 'prometheus' : [...formats][0]!, texts };
  }

  #scrapeAll(
    targets: readonly ScrapeTarget[],
    headers: ScrapeHeaders,
    timeout: number,
  ): Promise<ScrapeResult[]> {
    let bytesLeft = APP_BYTES_MAX;
    const take = (bytes: number): boolean => {
      bytesLeft -= bytes;
      return bytesLeft >= 0;
    };
    return Promise.all(
      targets.map((target) => scrape(target, { headers, timeoutMs: timeout, take })),
    );
  }

  #note(target: ScrapeTarget, problem: string): void {
    if (problem !== '') this.#failures.add(1);
    if ((this.#problems.get(target) ?? '') === problem) return;
    this.#problems.set(target, problem);
    if (problem !== '') {
      this.#options.log.warn({ ...target, problem }, "the app's metrics cannot be merged");
    }
  }
}

function onlyText(result: ScrapeResult): ScrapeResult {
  return result.ok && result.format === 'openmetrics'
    ? { ok: false, problem: 'answers in OpenMetrics alone, and another page of the app in text' }
    : result;
}

/** The scraper's own patience, less what the answer takes. */
function timeoutMs(header: string | string[] | undefined): number {
  const seconds = Number(header);
  if (!(seconds > 0)) return TIMEOUT_MS;
  const ms = Math.min(seconds * 1000, TIMEOUT_MS_MAX);
  return Math.max(ms / 2, ms - ANSWER_MS);
}

/** One page: the sidecar's part, the app's, and the end that OpenMetrics wants, once. */
function* merged(
  own: Iterable<string>,
  texts: readonly string[],
  format: ExpositionFormat,
): Generator<string> {
  for (const piece of own) yield ownNames(piece).replace(/# EOF\n$/, '');
  for (const text of texts) {
    for (let at = 0; at < text.length; at += PIECE_CHARS) yield text.slice(at, at + PIECE_CHARS);
  }
  if (format === 'openmetrics') yield '# EOF\n';
}

/**
 * `process_*` is what every client library calls its own process, the app's among them: the sidecar's stands under
 * the name that Istio's agent gives its own.
 */
function ownNames(piece: string): string {
  return piece.replace(/^((?:# (?:HELP|TYPE) )?)process_/gm, '$1istio_agent_process_');
}
