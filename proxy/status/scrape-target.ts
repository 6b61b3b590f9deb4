import { type OwnPorts, refusalOf } from './own-ports.ts';

/** A page of metrics of the app in this pod. */
export interface ScrapeTarget {
  readonly port: number;
  /** Starts with `/`. */
  readonly path: string;
}

export type ParsedScrapeTargets =
  | { readonly ok: true; readonly targets: readonly ScrapeTarget[] }
  | { readonly ok: false; readonly problems: readonly string[] };

/** Pages of one pod. */
const TARGETS_MAX = 32;

/**
 * `ISTIO_PROMETHEUS_ANNOTATIONS` (OB-05), which the injector makes of `prometheus.io/{scrape,path,port}` and
 * `prometheus.istio.io/scrape-targets`: `{"scrape":"true","path":"/metrics","port":"80","targets":[{"port":"9100","path":"/m"}]}`.
 * With `targets` those are all there are.
 */
export function parseScrapeTargets(text: string): ParsedScrapeTargets {
  if (text.trim() === '') return { ok: true, targets: [] };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { ok: false, problems: [`is no JSON: ${(error as Error).message}`] };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { ok: false, problems: ['must be an object with scrape, path, port'] };
  }
  const { scrape, path, port, targets } = value as Readonly<Record<string, unknown>>;
  if (String(scrape) === 'false') return { ok: true, targets: [] };
  const listed = Array.isArray(targets) ? (targets as unknown[]) : [];
  const asked = listed.length > 0 ? listed : [{ port: port || '80', path }];
  if (asked.length > TARGETS_MAX) {
    return { ok: false, problems: [`has more than ${TARGETS_MAX} targets`] };
  }
  const problems: string[] = [];
  const found: ScrapeTarget[] = [];
  for (const item of asked) {
    const target = readTarget(Object(item) as Readonly<Record<string, unknown>>);
    if (typeof target === 'string') problems.push(target);
    else found.push(target);
  }
  return problems.length === 0 ? { ok: true, targets: found } : { ok: false, problems };
}

/** A problem for each target that would lead back to the sidecar: a scrape that scrapes itself never ends. */
export function refusedTargets(targets: readonly ScrapeTarget[], ports: OwnPorts): string[] {
  return targets.flatMap(({ port }) => {
    const refusal = refusalOf(ports, port);
    if (refusal === '') return [];
    return [`port ${port} cannot be scraped for the app: ${refusal}; name the app's own port`];
  });
}

function readTarget({ port, path }: Readonly<Record<string, unknown>>): ScrapeTarget | string {
  const number = Number(port);
  if (!/^\d{1,5}$/.test(String(port)) || number < 1 || number > 65_535) {
    return `port ${JSON.stringify(port)} must be a number, 1 to 65535`;
  }
  const page = path === undefined || path === '' ? '/metrics' : path;
  if (typeof page !== 'string' || !/^\/?[!-~]+$/.test(page)) {
    return `path ${JSON.stringify(path)} must be a path such as /metrics`;
  }
  return { port: number, path: page.startsWith('/') ? page : `/${page}` };
}
