import type { StatsRegistry } from '../observe/stats.ts';
import { type BoundAddress, HttpEndpoint } from './http-endpoint.ts';
import { prometheusPage } from './stats-page.ts';

/** Open to the pod network: idle ones go after 5 s, so a stranger cannot keep probes out cheaply. */
const CONNECTIONS_MAX = 1_024;

/** Port 15090: `GET /stats/prometheus`, and nothing else (A1.7). */
export class MetricsServer {
  readonly #endpoint: HttpEndpoint;

  constructor(registry: StatsRegistry) {
    this.#endpoint = new HttpEndpoint({
      name: 'metrics',
      portSetting: 'node.metadata.WEFT_PROMETHEUS of the bootstrap',
      guardBrowsers: false,
      connectionsMax: CONNECTIONS_MAX,
      routes: new Map([
        [
          '/stats/prometheus',
          {
            method: 'GET' as const,
            help: 'statistics for Prometheus',
            handle: (request) => prometheusPage(registry, request),
          },
        ],
      ]),
    });
  }

  listen(address: BoundAddress): Promise<BoundAddress> {
    return this.#endpoint.listen(address);
  }

  close(): Promise<void> {
    return this.#endpoint.close();
  }
}
