import { Histogram } from './metric.ts';
import { renderNumber } from './render-number.ts';
import { ALL_STATS, isSelected, type StatsSelection } from './render-stats.ts';
import { type Family, type Series, type StatsRegistry, seriesOf, seriesValue } from './stats.ts';

/**
 * Prometheus' text exposition format 0.0.4, and OpenMetrics 1.0 for scrapers that ask for it. Text
 * comes in chunks, so that the writer can let the event loop turn between two of them.
 */

export type ExpositionFormat = 'prometheus' | 'openmetrics';

export const CONTENT_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  prometheus: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

/** Characters of one chunk: some 60 lines with Istio's labels, about a tenth of a millisecond. */
const CHUNK_LENGTH = 32 * 1024;

/** OpenMetrics only where it is asked for by name; its weight is not compared. */
export function negotiateFormat(accept: string | undefined): ExpositionFormat {
  return accept?.includes('application/openmetrics-text') ? 'openmetrics' : 'prometheus';
}

export interface ExpositionOptions extends StatsSelection {
  readonly format: ExpositionFormat;
}

/** May be read slowly: series that come or go meanwhile are shown or not. */
export function* renderPrometheus(
  registry: StatsRegistry,
  options: Partial<ExpositionOptions> = {},
): Generator<string> {
  const { format, ...selection } = { format: 'prometheus' as const, ...ALL_STATS, ...options };
  let chunk = '';
  for (const family of registry.families.values()) {
    let head = header(family, format);
    for (const series of seriesOf(family)) {
      if (!isSelected(series, selection)) continue;
      chunk += head;
      head = '';
      chunk += renderSeries(family, series);
      if (chunk.length >= CHUNK_LENGTH) {
        yield chunk;
        chunk = '';
      }
    }
    // Skipped families cost time as well.
    if (selection.wanted !== ALL_STATS.wanted) yield '';
  }
  if (format === 'openmetrics') chunk += '# EOF\n';
  if (chunk !== '') yield chunk;
}

function header({ name, kind, help }: Family, format: ExpositionFormat): string {
  if (format === 'prometheus') {
    return `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${kind}\n`;
  }
  // An OpenMetrics counter is a family `x` with a sample `x_total`; others are of unknown type.
  const isTotal = name.endsWith('_total');
  const family = kind === 'counter' && isTotal ? name.slice(0, -'_total'.length) : name;
  const type = kind === 'counter' && !isTotal ? 'unknown' : kind;
  return `# TYPE ${family} ${type}\n# HELP ${family} ${escapeHelp(help)}\n`;
}

function renderSeries({ name }: Family, series: Series): string {
  const { metric, labelText } = series;
  if (metric instanceof Histogram) return renderHistogram(name, labelText, metric);
  const value = seriesValue(series, metric);
  return labelText === ''
    ? `${name} ${renderNumber(value)}\n`
    : `${name}{${labelText}} ${renderNumber(value)}\n`;
}

function renderHistogram(name: string, labelText: string, histogram: Histogram): string {
  const { bounds, counts } = histogram;
  const open = labelText === '' ? `${name}_bucket{le="` : `${name}_bucket{${labelText},le="`;
  const labels = labelText === '' ? '' : `{${labelText}}`;
  let text = '';
  let count = 0;
  for (let at = 0; at < bounds.length; at += 1) {
    count += counts[at]!;
    text += `${open}${bounds[at]!}"} ${count}\n`;
  }
  count += counts[bounds.length]!;
  text += `${open}+Inf"} ${count}\n`;
  return `${text}${name}_sum${labels} ${renderNumber(histogram.sum)}\n${name}_count${labels} ${count}\n`;
}

function escapeHelp(help: string): string {
  return help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}
