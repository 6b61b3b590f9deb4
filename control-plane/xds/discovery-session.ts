import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import type { Node } from '../../proto/gen/envoy/config/core/v3/base.ts';
import type { Status } from '../../proto/gen/google/rpc/status.ts';
import { TYPE_HEALTH } from '../../proto/type-urls.ts';
import type { WorkloadIdentity } from '../auth/spiffe-id.ts';
import { claimProblem } from '../ca/certificate-service.ts';
import type { Clock } from '../clock.ts';
import type { Registration, WorkloadRegistrations } from '../registry/workload-registrations.ts';
import type { ParsedProxyView, ProxyView } from '../translate/proxy-view.ts';
import { AdsStream, type ResourcesByType, TYPES_MAX } from './ads-stream.ts';
import type { DiscoveryMetrics } from './discovery-metrics.ts';
import { shortTypeLabel, shortTypeName } from './push-order.ts';
import { registrationRequest } from './registration-request.ts';
import { resetCall } from './reset-call.ts';
import { NAMES_MAX } from './resource-names.ts';
import type { Subscription } from './subscription.ts';

/** What both protocols' requests have in common. */
export interface AnyRequest {
  readonly typeUrl: string;
  readonly node: Node | undefined;
  readonly errorDetail: Status | undefined;
}

export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface SessionOptions<Request, Response> {
  readonly call: ServerDuplexStream<Request, Response>;
  /** Null on the plaintext port: such a stream reads only. */
  readonly identity: WorkloadIdentity | null;
  readonly subscribe: (typeUrl: string) => Subscription<Request, Response>;
  readonly clock: Clock;
  /** Wall clock, milliseconds since 1970, for `connectedSinceMs`. */
  readonly wallNowMs: () => number;
  readonly parseView: (node: Node | undefined) => ParsedProxyView;
  readonly registrations: WorkloadRegistrations;
  readonly metrics: DiscoveryMetrics;
  readonly log: Log;
  /** The first request was taken: the session wants resources. */
  readonly onReady: () => void;
  readonly onSettled: () => void;
  readonly onClosed: () => void;
}

/** A session whatever its protocol, as the server and `proxy-status` see it. */
export interface Session {
  /** Null before the first request. */
  readonly view: ProxyView | null;
  readonly node: Node | null;
  readonly connectedSinceMs: number;
  readonly subscriptions: ReadonlyMap<string, Subscription<never, unknown>>;
  /** What it was last given; null before. */
  readonly resources: ResourcesByType | null;
  /** Bytes of the resources that this sent at once. */
  setResources(resources: ResourcesByType): number;
  /** Ends the stream; the client sees the status. */
  fail(code: status, details: string): void;
}

/** Milliseconds that a client may take no data before its stream is reset (A6.2). */
const STALL_MS = 30_000;

/**
 * One discovery stream: its first request says which proxy it is and must agree with the credential (A2.11); from then
 * on requests go to the `AdsStream`, health reports to the registry. When the stream ends the lease of its registration begins.
 */
export class DiscoverySession<Request extends AnyRequest, Response> implements Session {
  readonly connectedSinceMs: number;
  readonly #options: SessionOptions<Request, Response>;
  readonly #ads: AdsStream<Request, Response>;
  #view: ProxyView | null = null;
  #node: Node | null = null;
  #resources: ResourcesByType | null = null;
  #registration: Registration | null = null;
  #isClosed = false;
  #isPumpScheduled = false;
  #unwritten = 0;
  /** Of resources, so far. */
  #sentBytes = 0;
  #cancelStall: (() => void) | null = null;

  constructor(options: SessionOptions<Request, Response>) {
    this.#options = options;
    this.connectedSinceMs = options.wallNowMs();
    this.#ads = new AdsStream({
      clock: options.clock,
      subscribe: options.subscribe,
      write: (response) => this.#write(response),
      observer: {
        pushed: (typeUrl, { bytes }) => {
          this.#sentBytes += bytes;
          options.metrics.pushed(shortTypeLabel(typeUrl));
        },
        answered: (typeUrl, acknowledgement, error) => {
          if (acknowledgement === 'stale') options.metrics.expiredNonce(shortTypeLabel(typeUrl));
          if (acknowledgement !== 'nack') return;
          options.metrics.rejected(shortTypeLabel(typeUrl));
          const type = shortTypeName(typeUrl);
          options.log.warn({ proxy: this.#view?.id, type, error }, 'proxy refused configuration');
        },
        settled: (tookMs) => {
          options.metrics.converged(tookMs);
          options.onSettled();
        },
      },
    });
    const { call } = options;
    call.on('data', (request: Request) => this.#receive(request));
    call.on('drain', () => this.#ads.drained());
    call.on('end', () => {
      if (this.#isClosed) return;
      this.#close();
      call.end();
    });
    for (const event of ['cancelled', 'error', 'close']) call.on(event, () => this.#close());
  }

  get view(): ProxyView | null {
    return this.#view;
  }

  get node(): Node | null {
    return this.#node;
  }

  get resources(): ResourcesByType | null {
    return this.#resources;
  }

  get subscriptions(): ReadonlyMap<string, Subscription<never, unknown>> {
    return this.#ads.subscriptions;
  }

  setResources(resources: ResourcesByType): number {
    this.#resources = resources;
    const before = this.#sentBytes;
    this.#ads.setResources(resources);
    return this.#sentBytes - before;
  }

  fail(code: status, details: string): void {
    if (this.#isClosed) return;
    this.#options.metrics.streamFailed(status[code]);
    this.#close();
    this.#options.call.emit('error', { code, details });
  }

  #receive(request: Request): void {
    if (this.#isClosed) return;
    if (this.#view === null && !this.#identify(request)) return;
    if (request.typeUrl === TYPE_HEALTH) {
      this.#registration?.setHealth(request.errorDetail === undefined ? 'HEALTHY' : 'UNHEALTHY');
      return;
    }
    if (!request.typeUrl.includes('/')) {
      this.#refuse(status.INVALID_ARGUMENT, `type_url "${request.typeUrl.slice(0, 200)}" is none`);
      return;
    }
    if (!this.#ads.receive(request)) {
      this.#refuse(status.INVALID_ARGUMENT, `a stream may ask for ${TYPES_MAX} types`);
      return;
    }
    const subscription = this.#ads.subscriptions.get(request.typeUrl)!;
    if (subscription.names.names.size > NAMES_MAX || subscription.heldAloneCount > HELD_MAX) {
      const type = shortTypeName(request.typeUrl);
      this.#refuse(status.RESOURCE_EXHAUSTED, `more than ${NAMES_MAX} names of type ${type}`);
      return;
    }
    this.#schedulePump();
  }

  /** Requests that arrived together are answered together, in the order of the types (rule 13). */
  #schedulePump(): void {
    if (this.#isPumpScheduled) return;
    this.#isPumpScheduled = true;
    setImmediate(() => {
      this.#isPumpScheduled = false;
      this.#ads.pump();
    });
  }

  /** Rule 15: only the first request carries the node. False: the stream was refused. */
  #identify(request: Request): boolean {
    const { identity, registrations, log, call } = this.#options;
    const parsed = this.#options.parseView(request.node);
    if (!parsed.ok) return this.#refuse(status.INVALID_ARGUMENT, parsed.problem);
    const { view } = parsed;
    const problem = identity === null ? null : claimProblem(identity, view);
    if (problem !== null) return this.#refuse(status.PERMISSION_DENIED, problem);
    const wanted = registrationRequest(view, request.node!, identity);
    if (wanted !== null) {
      const result = registrations.register(wanted);
      if (!result.ok) return this.#refuse(REFUSALS[result.reason], result.message);
      this.#registration = result.registration;
    }
    this.#view = view;
    this.#node = request.node!;
    log.info({ proxy: view.id, peer: call.getPeer(), host: view.host }, 'proxy connected');
    this.#options.onReady();
    return true;
  }

  #refuse(code: status, details: string): false {
    const { log, call, identity } = this.#options;
    log.warn(
      { peer: call.getPeer(), identity, proxy: this.#view?.id, status: status[code], details },
      'discovery stream refused',
    );
    this.fail(code, details);
    return false;
  }

  #write(response: Response): boolean {
    const { call, clock } = this.#options;
    this.#unwritten++;
    this.#cancelStall ??= clock.schedule(STALL_MS, () => {
      this.#refuse(status.RESOURCE_EXHAUSTED, `the stream took no data for ${STALL_MS / 1000} s`);
      resetCall(call);
    });
    return call.write(response, () => {
      this.#unwritten--;
      if (this.#unwritten > 0) return;
      this.#cancelStall?.();
      this.#cancelStall = null;
    });
  }

  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#ads.close();
    this.#cancelStall?.();
    this.#registration?.end();
    if (this.#view !== null) this.#options.log.info({ proxy: this.#view.id }, 'proxy disconnected');
    this.#options.onClosed();
  }
}

const REFUSALS = {
  permissionDenied: status.PERMISSION_DENIED,
  invalid: status.INVALID_ARGUMENT,
  resourceExhausted: status.RESOURCE_EXHAUSTED,
} as const;

/** `initial_resource_versions` of a proxy that held all of a large mesh. */
const HELD_MAX = 100_000;
