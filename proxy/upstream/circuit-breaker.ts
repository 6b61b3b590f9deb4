import type { ClusterConfig } from './cluster-config.ts';

type Limits = Pick<
  ClusterConfig,
  'connectionsMax' | 'pendingRequestsMax' | 'requestsMax' | 'retriesMax'
>;

/**
 * What a cluster has under way, and how much of it is allowed (RS-13). Each `try…` that answers true
 * is given back by its `end…`. The counts survive a change of the limits.
 */
export class CircuitBreaker {
  connections = 0;
  pendingRequests = 0;
  requests = 0;
  retries = 0;
  limits: Limits;

  constructor(limits: Limits) {
    this.limits = limits;
  }

  get connectionsOpen(): boolean {
    return this.connections < this.limits.connectionsMax;
  }

  get requestsOpen(): boolean {
    return this.requests < this.limits.requestsMax;
  }

  get pendingOpen(): boolean {
    return this.pendingRequests < this.limits.pendingRequestsMax;
  }

  tryRetry(): boolean {
    if (this.retries >= this.limits.retriesMax) return false;
    this.retries++;
    return true;
  }

  endRetry(): void {
    this.retries--;
  }
}
