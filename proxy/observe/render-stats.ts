import { Histogram } from './metric.ts';
import { renderNumber, seriesValue } from './render-prometheus.ts';
import type { Series, StatsRegistry } from './stats.ts';

/** The admin port's `/stats`: Envoy's dotted names, sorted, as text or as its JSON. */

/** True where the series is wanted; given the dotted name. */
export type StatsFilter = (name: string) => boolean;

/** Lines per chunk, so that the writer can let the event loop turn. */
const CHUNK_LINES = 500;

/** `cluster.a.upstream_rq_total: 3`; histograms as `P50(25) P95(250) P99(250) sum(310) count(12)`. */
export function* renderStatsText(registry: StatsRegistry, wanted: StatsFilter): Generator<string> {
  let chunk = '';
  let lines = 0;
  for (const series of sorted(registry, wanted)) {
    chunk += `${printable(series.dotted)}: ${renderValue(series)}\n`;
    lines += 1;
    if (lines % CHUNK_LINES !== 0) continue;
    yield chunk;
    chunk = '';
  }
  yield chunk;
}

/** `{"stats":[{"name":"cluster.a.upstream_rq_total","value":3}, …]}`. */
export function* renderStatsJson(registry: StatsRegistry, wanted: StatsFilter): Generator<string> {
  let chunk = '{"stats":[';
  let lines = 0;
  for (const series of sorted(registry, wanted)) {
    const { metric, dotted } = series;
    const value =
      metric instanceof Histogram
        ? {
            count: metric.count,
            sum: metric.sum,
            p50: quantile(metric, 0.5),
            p99: quantile(metric, 0.99),
          }
        : finiteOrText(seriesValue(series, metric));
    chunk += `${lines === 0 ? '' : ','}\n${JSON.stringify({ name: dotted, value })}`;
    lines += 1;
    if (lines % CHUNK_LINES !== 0) continue;
    yield chunk;
    chunk = '';
  }
  yield `${chunk}\n]}\n`;
}

function sorted(registry: StatsRegistry, wanted: StatsFilter): Series[] {
  const chosen: Series[] = [];
  for (const [, series] of registry.series()) if (wanted(series.dotted)) chosen.push(series);
  return chosen.sort((a, b) => (a.dotted < b.dotted ? -1 : a.dotted > b.dotted ? 1 : 0));
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
