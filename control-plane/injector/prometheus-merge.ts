import { printable } from '../kinds/problem.ts';
import type { PodProblem } from './pod.ts';
import { RESERVED_PORTS, type ScrapeTarget } from './scrape-target.ts';

/** What merging did to the annotations, or why it did nothing. */
export interface PrometheusMerge {
  /** `ISTIO_PROMETHEUS_ANNOTATIONS`, or '' where the app has no metrics. */
  readonly scrape: string;
  /** Annotations that were taken away or replaced. */
  readonly originals: Readonly<Record<string, string>>;
  readonly added: readonly string[];
  readonly problems: readonly PodProblem[];
  readonly warnings: readonly string[];
}

/**
 * Points Prometheus at the sidecar's status port, which shows the app's metrics with its own (OB-05): as in Istio all
 * spellings of `prometheus.io/{scrape,port,path}` are taken and one is written, also where there were none; a pod that says
 * `scrape: "false"` is left alone. Changes the pod's annotations.
 */
export function mergePrometheus(
  annotations: Record<string, string>,
  targets: readonly ScrapeTarget[] | undefined,
  statusPort: number,
): PrometheusMerge {
  const found = new Map<string, [key: string, value: string]>();
  const keys: string[] = [];
  for (const key of Object.keys(annotations).sort()) {
    const field = /^prometheus[^a-zA-Z0-9]io[^a-zA-Z0-9](scrape|port|path|scheme)$/.exec(key)?.[1];
    if (field === undefined) continue;
    if (field !== 'scheme') keys.push(key);
    found.set(field, [key, annotations[key]!]);
  }
  const value = (field: string) => found.get(field)?.[1];
  const scrape = value('scrape');
  if (scrape !== undefined && /^(0|f|false)$/i.test(scrape)) return nothing([]);
  if (value('port') === String(statusPort)) return nothing([]);
  if (value('scheme') === 'https') {
    return nothing(['metrics are not merged: prometheus.io/scheme is https']);
  }
  const unreadable = unreadableTarget(value('port') ?? '', value('path') ?? '');
  if (targets === undefined && unreadable !== '') {
    return nothing([`metrics are not merged: ${unreadable}`]);
  }
  const problems: PodProblem[] = [];
  for (const { port } of targets ?? []) {
    if (Number(port) !== statusPort) continue;
    const message = `"${port}" must be a port of the app: this one is the sidecar's status port`;
    problems.push({
      path: ['metadata', 'annotations', 'prometheus.istio.io/scrape-targets'],
      message,
    });
  }
  const reserved = RESERVED_PORTS.get(Number(value('port')));
  if (reserved !== undefined) {
    const [key, port] = found.get('port')!;
    const message = `"${port}" must be a port of the app: this one is ${reserved}`;
    problems.push({ path: ['metadata', 'annotations', key], message });
  }
  const originals: Record<string, string> = Object.create(null);
  for (const key of keys) {
    originals[key] = annotations[key]!;
    delete annotations[key];
  }
  const own = { scrape: scrape ?? '', path: value('path') ?? '', port: value('port') ?? '' };
  const text =
    targets !== undefined
      ? JSON.stringify({ ...own, scrape: scrape ?? 'true', targets })
      : keys.length > 0
        ? JSON.stringify(own)
        : '';
  const written = {
    'prometheus.io/scrape': 'true',
    'prometheus.io/port': String(statusPort),
    'prometheus.io/path': '/stats/prometheus',
  };
  Object.assign(annotations, written);
  return { scrape: text, originals, added: Object.keys(written), problems, warnings: [] };
}

/** What Prometheus itself could not ask, nor the sidecar for it; '' = nothing is wrong. */
function unreadableTarget(port: string, path: string): string {
  if (port !== '' && !(/^\d{1,5}$/.test(port) && +port >= 1 && +port <= 65_535)) {
    return `prometheus.io/port "${printable(port)}" is no port from 1 to 65535`;
  }
  if (path !== '' && !/^\/?[!-~]+$/.test(path)) {
    return `prometheus.io/path "${printable(path)}" is no path such as /metrics`;
  }
  return '';
}

function nothing(warnings: readonly string[]): PrometheusMerge {
  return { scrape: '', originals: {}, added: [], problems: [], warnings };
}
