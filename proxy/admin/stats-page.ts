import {
  CONTENT_TYPES,
  type ExpositionFormat,
  negotiateFormat,
  renderPrometheus,
} from '../observe/render-prometheus.ts';
import { renderStatsJson, renderStatsText } from '../observe/render-stats.ts';
import type { StatsRegistry } from '../observe/stats.ts';
import { type EndpointReply, type EndpointRequest, json, plain } from './http-endpoint.ts';
import { compileNameFilter } from './name-filter.ts';

/** `/stats[?filter=RE2][&usedonly][&format=json|prometheus]`. */
export function statsPage(registry: StatsRegistry, request: EndpointRequest): EndpointReply {
  const { query } = request;
  const format = query.get('format') ?? 'text';
  if (format === 'prometheus') return prometheusPage(registry, request);
  if (format !== 'json' && format !== 'text') {
    return plain(400, `format=${format} is not known; one of text, json, prometheus\n`);
  }
  const wanted = compileNameFilter(query.get('filter'));
  if (typeof wanted !== 'function') return plain(400, `filter: ${wanted.problem}\n`);
  const options = { wanted, usedOnly: query.has('usedonly') };
  return format === 'json'
    ? json(renderStatsJson(registry, options))
    : plain(200, renderStatsText(registry, options));
}

/** `/stats/prometheus[?filter=RE2][&usedonly]`; OpenMetrics where the scraper asks for it. */
export function prometheusPage(
  registry: StatsRegistry,
  { query, accept }: EndpointRequest,
): EndpointReply {
  const wanted = compileNameFilter(query.get('filter'));
  if (typeof wanted !== 'function') return plain(400, `filter: ${wanted.problem}\n`);
  const format: ExpositionFormat = negotiateFormat(accept);
  return {
    status: 200,
    contentType: CONTENT_TYPES[format],
    body: renderPrometheus(registry, { format, wanted, usedOnly: query.has('usedonly') }),
  };
}
