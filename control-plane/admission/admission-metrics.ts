import { Counter, type Registry } from 'prom-client';
import { findKind } from '../kinds/kind-registry.ts';
import type { AdmissionRequest } from './admission-review.ts';

/** What the webhooks did, under Istio's names. Labels come from our kinds, never from a request (A7.4). */
export class AdmissionMetrics {
  readonly #requests: Counter;
  readonly #outcomes: Readonly<Record<'success' | 'failure' | 'skip', Counter>>;
  readonly #validations: Readonly<Record<'passed' | 'failed', Counter<'group' | 'kind'>>>;
  readonly #httpErrors: Counter<'status'>;

  constructor(registry: Registry) {
    const counter = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
      new Counter({ name, help, labelNames, registers: [registry] });
    this.#requests = counter('sidecar_injection_requests_total', 'Pods to inject', []);
    this.#outcomes = {
      success: counter('sidecar_injection_success_total', 'Pods injected', []),
      failure: counter('sidecar_injection_failure_total', 'Pods refused', []),
      skip: counter('sidecar_injection_skip_total', 'Pods left as they are', []),
    };
    const labels: ('group' | 'kind')[] = ['group', 'kind'];
    this.#validations = {
      passed: counter('galley_validation_passed', 'Policies accepted', labels),
      failed: counter('galley_validation_failed', 'Policies refused', labels),
    };
    this.#httpErrors = counter('galley_validation_http_error', 'Reviews that were not answered', [
      'status',
    ]);
  }

  injectionRequest(): void {
    this.#requests.inc();
  }

  injection(outcome: 'success' | 'failure' | 'skip'): void {
    this.#outcomes[outcome].inc();
  }

  validation(
    outcome: 'passed' | 'failed',
    { group, version, kind }: AdmissionRequest['kind'],
  ): void {
    const known = findKind(`${group}/${version}`, kind).kind === 'found';
    const labels = known ? { group, kind } : { group: 'other', kind: 'other' };
    this.#validations[outcome].labels(labels).inc();
  }

  webhookHttpError(status: number): void {
    this.#httpErrors.labels(String(status)).inc();
  }
}
