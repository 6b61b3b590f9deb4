import type { Readiness } from '../admin/admin-source.ts';
import {
  type BoundAddress,
  type EndpointReply,
  type EndpointRequest,
  type EndpointRoute,
  HttpEndpoint,
  plain,
} from '../admin/http-endpoint.ts';
import { INBOUND_SOURCES } from '../listener/inbound-source.ts';
import type { StatsRegistry } from '../observe/stats.ts';
import { type AppAddress, addressOf } from './app-address.ts';
import type { AppProber } from './app-prober.ts';
import { probeByGrpcHealth } from './grpc-health-probe.ts';
import { probeByHttpGet } from './http-get-probe.ts';
import { MergedMetrics } from './merged-metrics.ts';
import { type OwnPorts, refusalOf } from './own-ports.ts';
import { type ProbeOutcome, unwell } from './probe-outcome.ts';
import type { ScrapeTarget } from './scrape-target.ts';
import { probeByTcpSocket } from './tcp-socket-probe.ts';

/** Open to the pod network. */
const CONNECTIONS_MAX = 1_024;
/** Probes of the app under way. A kubelet has five a container; more is a stranger. */
const PROBES_MAX = 64;

export interface StatusServerOptions {
  readonly readiness: () => Readiness;
  readonly registry: StatsRegistry;
  readonly app: AppAddress;
  readonly probers: ReadonlyMap<string, AppProber>;
  readonly targets: readonly ScrapeTarget[];
  readonly ownPorts: OwnPorts;
  /** `POST /drain`: no new work, the process stays. */
  readonly drain: () => void;
  /** `POST /quitquitquit`: drain, then exit 0; called once the answer has been sent. */
  readonly quit: () => void;
  readonly log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
}

/**
 * Port 15020, as of Istio's agent: the kubelet asks the app through it (KI-05), Prometheus finds sidecar and app on one
 * page (OB-05), and the app may end the sidecar (KI-03).
 */
export class StatusServer {
  readonly #options: StatusServerOptions;
  readonly #endpoint: HttpEndpoint;
  #port = 0;
  #probes = 0;
  /** Probes whose last answer was a failure: told once, and once when it is over. */
  readonly #failing = new Set<string>();

  constructor(options: StatusServerOptions) {
    this.#options = options;
    this.#endpoint = new HttpEndpoint({
      name: 'status',
      portSetting: 'WEFT_STATUS',
      guardBrowsers: false,
      connectionsMax: CONNECTIONS_MAX,
      routes: this.#routes(),
    });
  }

  async listen(address: BoundAddress): Promise<BoundAddress> {
    const bound = await this.#endpoint.listen(address);
    this.#port = bound.port;
    return bound;
  }

  close(): Promise<void> {
    return this.#endpoint.close();
  }

  #routes(): ReadonlyMap<string, EndpointRoute> {
    const { readiness, registry, targets, log, probers, drain, quit } = this.#options;
    const routes = new Map<string, EndpointRoute>();
    const show = (path: string, help: string, handle: EndpointRoute['handle']) =>
      routes.set(path, { method: 'GET', help, handle });
    const change = (path: string, help: string, act: () => void) =>
      routes.set(path, {
        method: 'POST',
        help,
        handle: (request) => localOnly(request) ?? { ...plain(200, 'OK\n'), after: act },
      });
    show('/help', 'this list', () => helpPage(routes));
    show('/healthz/ready', '200 when the proxy serves, else 503', () => {
      const { ready, reason } = readiness();
      return ready ? plain(200, 'ready\n') : plain(503, `not ready: ${reason}\n`);
    });
    const metrics = new MergedMetrics({ registry, targets, log });
    for (const path of ['/stats/prometheus', '/metrics']) {
      show(path, 'statistics of the proxy and of its app for Prometheus', (request) =>
        metrics.page(request),
      );
    }
    change('/drain', 'take no new work; from this pod only', drain);
    change('/quitquitquit', 'finish what is under way and exit; from this pod only', quit);
    for (const [path, prober] of probers) {
      show(path, `asks the app by ${prober.kind}`, (request) => this.#probe(path, prober, request));
    }
    return routes;
  }

  async #probe(path: string, prober: AppProber, request: EndpointRequest): Promise<EndpointReply> {
    if (this.#probes >= PROBES_MAX) {
      return plain(503, `${PROBES_MAX} probes of the app are under way; ask again later\n`);
    }
    this.#probes++;
    try {
      const outcome = await this.#ask(prober, request);
      if (!request.signal.aborted) this.#note(path, outcome);
      return plain(outcome.status, outcome.body);
    } finally {
      this.#probes--;
    }
  }

  #ask(
    prober: AppProber,
    { headers, signal }: EndpointRequest,
  ): ProbeOutcome | Promise<ProbeOutcome> {
    if (prober.kind === 'broken') return unwell(prober.reason);
    const { ownPorts } = this.#options;
    const app = addressOf(this.#options.app, prober.host);
    const refusedPort = (port: number) => refusalOf(ownPorts, port);
    const refusal = refusedPort(prober.port);
    if (refusal !== '') return unwell(`port ${prober.port} is not asked: ${refusal}`);
    switch (prober.kind) {
      case 'httpGet':
        return probeByHttpGet({
          prober,
          app,
          headers,
          statusPort: this.#port,
          refusedPort,
          signal,
        });
      case 'tcpSocket':
        return probeByTcpSocket(prober, app, signal);
      case 'grpc':
        return probeByGrpcHealth(prober, app, headers['user-agent'] ?? 'weft', signal);
    }
  }

  #note(path: string, { status, body }: ProbeOutcome): void {
    const { log } = this.#options;
    const fails = status >= 400;
    if (fails === this.#failing.has(path)) return;
    if (fails) {
      this.#failing.add(path);
      log.warn({ path, status, reason: body.slice(0, 200).trim() }, 'a probe of the app fails');
    } else {
      this.#failing.delete(path);
      log.info({ path, status }, 'a probe of the app succeeds again');
    }
  }
}

/**
 * A refusal for everybody but the programs of this pod (A5.2): a peer on loopback, whose request no page of a browser
 * has made.
 */
function localOnly({ peer, headers }: EndpointRequest): EndpointReply | undefined {
  const address = peer.replace('::ffff:', '');
  // Of loopback too, and whoever has called the pod: the inbound listener passes on from there.
  const isPassedOn = INBOUND_SOURCES.includes(address);
  if (isPassedOn || (!address.startsWith('127.') && address !== '::1')) {
    return plain(403, 'only programs of this pod may do that: call it on localhost\n');
  }
  if (headers.origin !== undefined || headers['sec-fetch-site'] !== undefined) {
    return plain(403, 'requests from the pages of browsers are refused\n');
  }
  return undefined;
}

function helpPage(routes: ReadonlyMap<string, EndpointRoute>): EndpointReply {
  const lines = [...routes].map(([path, { method, help }]) => {
    const verb = method === 'POST' ? ' (POST)' : '';
    return `  ${path}${verb}: ${help}\n`;
  });
  return plain(200, `the status port has:\n${lines.join('')}`);
}
