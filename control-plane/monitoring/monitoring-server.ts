import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';

export interface MonitoringServerOptions {
  readonly listen: { readonly host: string; readonly port: number };
  readonly registry: Registry;
  /** Undefined = ready, else what is missing. */
  readonly notReady: () => string | undefined;
}

export interface MonitoringServer {
  readonly address: { readonly host: string; readonly port: number };
  close(): Promise<void>;
}

/** `/metrics` for Prometheus, `/healthz` and `/ready` for probes. Read only. Rejects where it cannot listen. */
export async function createMonitoringServer({
  listen,
  registry,
  notReady,
}: MonitoringServerOptions): Promise<MonitoringServer> {
  const server = createServer(
    { headersTimeout: 5000, requestTimeout: 10_000, maxHeaderSize: 16 * 1024 },
    async (request, response) => {
      const path = (request.url ?? '').split('?')[0];
      const answer = (status: number, body: string, type = 'text/plain; charset=utf-8') => {
        response.writeHead(status, { 'content-type': type, 'x-content-type-options': 'nosniff' });
        response.end(request.method === 'HEAD' ? '' : body);
      };
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        answer(405, 'read only: use GET\n');
      } else if (path === '/metrics' || path === '/stats/prometheus') {
        answer(200, await registry.metrics(), registry.contentType);
      } else if (path === '/healthz') {
        answer(200, 'ok\n');
      } else if (path === '/ready' || path === '/readyz') {
        const missing = notReady();
        answer(missing === undefined ? 200 : 503, `${missing ?? 'ok'}\n`);
      } else {
        answer(404, 'there are /metrics, /healthz and /ready\n');
      }
    },
  );
  server.maxConnections = CONNECTIONS_MAX;
  server.listen(listen);
  await once(server, 'listening');
  const { address, port } = server.address() as AddressInfo;
  return {
    address: { host: address, port },
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

const CONNECTIONS_MAX = 256;
