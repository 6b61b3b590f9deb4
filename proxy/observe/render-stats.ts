import { Histogram } from './metric.ts';
import { renderNumber } from './render-number.ts';
import { type Series, type StatsRegistry, seriesValue } from './stats.ts';

/** The admin port's `/stats`: Envoy's dotted names, sorted, as text or as its JSON. */

/** Which series are shown. */
export interface StatsSelection {
  /** Given the dotted name. */
  readonly wanted: (dotted: string) => boolean;
  /** Only series that have been added to, as Envoy's `usedonly`. */
  readonly usedOnly: boolean;
}

export const ALL_STATS: StatsSelection = Object.freeze({ wanted: () => true, usedOnly: false });

/** Series per chunk, wanted or not, so that the writer can let the event loop turn. */
const CHUNK_SERIES = 500;

/** `cluster.a.upstream_rq_total: 3`; histograms as `P50(25) P95(250) P99(250) sum(310) count(12)`. */
export function* renderStatsText(
  registry: StatsRegistry,
  selection: StatsSelection = ALL_STATS,
): Generator<string> {
  let chunk = '';
  for (const [at, series] of sorted(registry).entries()) {
    if (isSelected(series, selection))
      chunk += `${printable(series.dotted)}: ${renderValue(series)}\n`;
    if (at % CHUNK_SERIES !== CHUNK_SERIES - 1) continue;
    yield chunk;
    chunk = '';
  }
  yield chunk;
}

/** `{"stats":[{"name":"cluster.a.upstream_rq_total","value":3}, …]}`. */
export function* renderStatsJson(
  registry: StatsRegistry,
  selection: StatsSelection = ALL_STATS,
): Generator<string> {
  let chunk = '{"stats":[';
  let separator = '\n';
  for (const [at, series] of sorted(registry).entries()) {
    if (isSelected(series, selection)) {
      chunk += `${separator}${JSON.stringify({ name: series.dotted, value: jsonValue(series) })}`;
      separator = ',\n';
    }
    if (at % CHUNK_SERIES !== CHUNK_SERIES - 1) continue;
    yield chunk;
    chunk = '';
  }
  yield `${chunk}\n]}\n`;
}

export function isSelected(series: Series, { wanted, usedOnly }: StatsSelection): boolean {
  if (usedOnly) {
    const { metric } = series;
    const value = metric instanceof Histogram ? metric.count : seriesValue(series, metric);
    if (value === 0) return false;
  }
  return wanted(series.dotted);
}

function sorted(registry: StatsRegistry): Series[] {
  const all = Array.from(registry.series(), ([, series]) => series);
  return all.sort((a, b) => (a.dotted < b.dotted ? -1 : a.dotted > b.dotted ? 1 : 0));
}

function jsonValue(series: Series): unknown {
  const { metric } = series;
  if (!(metric instanceof Histogram)) return finiteOrText(seriesValue(series, metric));
  const [p50, p99] = [quantile(metric, 0.5), quantile(metric, 0.99)].map(finiteOrText);
  return { count: metric.count, sum: metric.sum, p50, p99 };
}

function renderValue(series: Series): string {
  const { metric } = series;
  if (!(metric instanceof Histogram)) return renderNumber(seriesValue(series, metric));
  if (metric.count === 0) return 'No recorded values';
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((rank) => renderNumber(quantile(metric, rank)));
  return `P50(${p50}) P95(${p95}) P99(${p99}) sum(${renderNumber(metric.sum)}) count(${metric.count})`;
}

/** The upper bound of the bucket in which the quantile lies; +Inf beyond the last bound. */
export function quantile(histogram: Histogram, rank: number): number {
  const total = histogram.count;
  if (total === 0) return Number.NaN;
  let seen = 0;
  for (let at = 0; at < histogram.bounds.length; at += 1) {
    seen += histogram.counts[at]!;
    if (seen >= rank * total) return histogram.bounds[at]!;
  }
  return Number.POSITIVE_INFINITY;
}

/** JSON has no infinity. */
function finiteOrText(value: number): number | string {
  return Number.isFinite(value) ? value : renderNumber(value);
}

/** A name with control characters (a peer's label value) must not look like another line (A7.2). */
function printable(name: string): string {
  return name.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}
