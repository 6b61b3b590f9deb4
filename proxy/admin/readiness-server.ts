import type { Readiness } from './admin-source.ts';
import { type BoundAddress, HttpEndpoint, plain } from './http-endpoint.ts';

/** Open to the pod network: idle ones go after 5 s, so a stranger cannot keep probes out cheaply. */
const CONNECTIONS_MAX = 1_024;

/**
 * Port 15021: `GET /healthz/ready` for kubelets and load balancers, and nothing else (A1.7). 200 once
 * the first configuration is in force, 503 with the reason before that and while draining.
 */
export class ReadinessServer {
  readonly #endpoint: HttpEndpoint;

  constructor(readiness: () => Readiness) {
    this.#endpoint = new HttpEndpoint({
      name: 'readiness',
      portSetting: 'node.metadata.WEFT_READINESS of the bootstrap',
      guardBrowsers: false,
      connectionsMax: CONNECTIONS_MAX,
      routes: new Map([
        [
          '/healthz/ready',
          {
            method: 'GET' as const,
            help: '200 when the proxy serves, else 503',
            handle: () => {
              const { ready, reason } = readiness();
              return ready ? plain(200, 'ready\n') : plain(503, `not ready: ${reason}\n`);
            },
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
