import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { IssueOutcome } from '../ca/certificate-service.ts';
import type { DiscoveryMetrics } from '../xds/discovery-metrics.ts';

/** The control plane's metrics under Istio's names (OB-13), `weft_*` for what is our own. */
export class ControlPlaneMetrics implements DiscoveryMetrics {
  readonly registry = new Registry();
  readonly #connected = this.#gauge('pilot_xds', 'Proxies connected over xDS');
  readonly #pushes = this.#counter('pilot_xds_pushes', 'Responses sent, by type', ['type']);
  readonly #rejects = this.#counter('pilot_total_xds_rejects', 'Responses refused', ['type']);
  readonly #expired = this.#counter('pilot_xds_expired_nonce', 'Requests with an old nonce', [
    'type',
  ]);
  readonly #internal = this.#counter(
    'pilot_total_xds_internal_errors',
    'Translations that failed',
    [],
  );
  readonly #failed = this.#counter('weft_xds_streams_failed', 'Streams refused or reset', [
    'status',
  ]);
  readonly #convergence = new Histogram({
    name: 'pilot_proxy_convergence_time',
    help: 'Seconds from a push to the last acknowledgement of the proxy',
    buckets: [0.005, 0.01, 0.05, 0.1, 0.5, 1, 3, 5, 10, 20, 30],
    registers: [this.registry],
  });
  readonly #services = this.#gauge('pilot_services', 'Services known');
  readonly #virtualServices = this.#gauge('pilot_virt_services', 'VirtualServices known');
  readonly #warnings = this.#gauge('weft_policy_warnings', 'Policies with a doubtful reference');
  readonly #csr = this.#counter('citadel_server_csr_count', 'Certificate requests', []);
  readonly #csrErrors = this.#counter(
    'weft_ca_csr_rejected',
    'Certificate requests refused, by reason',
    ['reason'],
  );
  readonly #issued = this.#counter(
    'citadel_server_success_cert_issuance_count',
    'Certificates issued',
    [],
  );
  readonly #rootExpiry = this.#gauge(
    'citadel_server_root_cert_expiry_timestamp',
    'When the CA certificate ends, seconds since 1970',
  );

  constructor() {
    collectDefaultMetrics({ register: this.registry });
    for (const type of ['cds', 'eds', 'lds', 'rds']) this.#pushes.labels(type).inc(0);
  }

  connected(change: 1 | -1): void {
    this.#connected.inc(change);
  }

  pushed(type: string): void {
    this.#pushes.labels(type).inc();
  }

  rejected(type: string): void {
    this.#rejects.labels(type).inc();
  }

  expiredNonce(type: string): void {
    this.#expired.labels(type).inc();
  }

  streamFailed(status: string): void {
    this.#failed.labels(status).inc();
  }

  internalError(): void {
    this.#internal.inc();
  }

  converged(tookMs: number): void {
    this.#convergence.observe(tookMs / 1000);
  }

  meshIs(mesh: { services: number; virtualServices: number; warnings: number }): void {
    this.#services.set(mesh.services);
    this.#virtualServices.set(mesh.virtualServices);
    this.#warnings.set(mesh.warnings);
  }

  certificateRequest(outcome: IssueOutcome): void {
    this.#csr.inc();
    if (outcome === 'issued') this.#issued.inc();
    else this.#csrErrors.labels(outcome).inc();
  }

  rootExpires(atMs: number): void {
    this.#rootExpiry.set(atMs / 1000);
  }

  #gauge(name: string, help: string): Gauge {
    return new Gauge({ name, help, registers: [this.registry] });
  }

  #counter<Label extends string>(name: string, help: string, labelNames: Label[]): Counter<Label> {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }
}
