import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import type { Node } from '../../proto/gen/envoy/config/core/v3/base.ts';
import type { AggregatedDiscoveryServiceServer } from '../../proto/gen/envoy/service/discovery/v3/ads.ts';
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import type { Caller } from '../auth/authenticator.ts';
import { spiffeId } from '../auth/spiffe-id.ts';
import type { Clock } from '../clock.ts';
import type { MeshSnapshot } from '../mesh/snapshot.ts';
import type { WorkloadRegistrations } from '../registry/workload-registrations.ts';
import type { ParsedProxyView, ProxyView } from '../translate/proxy-view.ts';
import type { ResourceSet } from '../translate/resource-set.ts';
import { DeltaSubscription } from './delta-subscription.ts';
import type { DiscoveryMetrics } from './discovery-metrics.ts';
import { type AnyRequest, DiscoverySession, type Log, type Session } from './discovery-session.ts';
import { ProxyResources } from './proxy-resources.ts';
import { PUSH_QUEUE_DEFAULTS, PushQueue } from './push-queue.ts';
import { frameDelta, frameStateOfTheWorld } from './response-body.ts';
import { SotwSubscription } from './sotw-subscription.ts';
import { ADMISSION_DEFAULTS, type AdmissionOptions, StreamAdmission } from './stream-admission.ts';
import type { NextNonce, Subscription } from './subscription.ts';
import { writeFramed } from './write-framed.ts';

export interface DiscoveryServerOptions {
  readonly clock: Clock;
  /** Wall clock, milliseconds since 1970. */
  readonly wallNowMs: () => number;
  readonly parseView: (node: Node | undefined) => ParsedProxyView;
  readonly translate: (snapshot: MeshSnapshot, proxy: ProxyView) => ResourceSet;
  readonly registrations: WorkloadRegistrations;
  readonly metrics: DiscoveryMetrics;
  readonly log: Log;
  readonly admission?: AdmissionOptions;
}

type AnyCall = ServerDuplexStream<unknown, unknown>;
/** Who is calling; null where the port asks nobody (plaintext on loopback). */
export type Authenticate = (call: AnyCall) => Promise<Caller | null>;

/**
 * The discovery service: `publish` gives it the mesh of now, its streams get what differs for their proxy. Until the
 * first `publish` streams wait, so that nobody is ever told of an empty mesh that is only not known yet (F4).
 */
export class DiscoveryServer {
  readonly #options: DiscoveryServerOptions;
  readonly #admission: StreamAdmission;
  readonly #sessions = new Set<Session>();
  readonly #resources = new WeakMap<Session, ProxyResources>();
  readonly #queue: PushQueue<Session>;
  #snapshot: MeshSnapshot | null = null;
  #isClosed = false;

  constructor(options: DiscoveryServerOptions) {
    this.#options = options;
    this.#admission = new StreamAdmission(options.clock, options.admission ?? ADMISSION_DEFAULTS);
    this.#queue = new PushQueue(options.clock, PUSH_QUEUE_DEFAULTS, (session) =>
      this.#push(session),
    );
  }

  /** Streams that have said which proxy they are, oldest first. */
  get sessions(): readonly Session[] {
    return [...this.#sessions].filter(({ view }) => view !== null);
  }

  publish(snapshot: MeshSnapshot): void {
    this.#snapshot = snapshot;
    for (const session of this.#sessions) if (session.view !== null) this.#queue.add(session);
  }

  /** The gRPC service of one port. */
  service(authenticate: Authenticate): AggregatedDiscoveryServiceServer {
    return {
      deltaAggregatedResources: (
        call: ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>,
      ) => {
        writeFramed(call, frameDelta);
        this.#accept(call, authenticate, (typeUrl, nonce) => new DeltaSubscription(typeUrl, nonce));
      },
      streamAggregatedResources: (
        call: ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>,
      ) => {
        writeFramed(call, frameStateOfTheWorld);
        this.#accept(call, authenticate, (typeUrl, nonce) => new SotwSubscription(typeUrl, nonce));
      },
    };
  }

  /** Ends every stream with UNAVAILABLE: clients come back, here or to another replica (rule 19). */
  close(): void {
    this.#isClosed = true;
    this.#queue.close();
    for (const session of [...this.#sessions]) {
      session.fail(status.UNAVAILABLE, 'the control plane is shutting down');
    }
  }

  #accept<Request extends AnyRequest, Response>(
    call: ServerDuplexStream<Request, Response>,
    authenticate: Authenticate,
    subscribe: (typeUrl: string, nextNonce: NextNonce) => Subscription<Request, Response>,
  ): void {
    this.#open(call, authenticate, subscribe).catch((error: unknown) => {
      this.#options.log.error({ err: error }, 'a discovery stream failed');
      call.emit('error', { code: status.INTERNAL, details: 'the control plane failed' });
    });
  }

  async #open<Request extends AnyRequest, Response>(
    call: ServerDuplexStream<Request, Response>,
    authenticate: Authenticate,
    subscribe: (typeUrl: string, nextNonce: NextNonce) => Subscription<Request, Response>,
  ): Promise<void> {
    const { clock, log, metrics } = this.#options;
    const refuse = (code: status, details: string): void => {
      metrics.streamFailed(status[code]);
      log.warn({ peer: call.getPeer(), status: status[code], details }, 'discovery stream refused');
      call.emit('error', { code, details });
    };
    const caller = await authenticate(call as AnyCall);
    if (call.cancelled) return;
    if (this.#isClosed) return refuse(status.UNAVAILABLE, 'the control plane is shutting down');
    if (caller?.kind === 'unauthenticated') return refuse(status.UNAUTHENTICATED, caller.problem);
    if (caller?.kind === 'unavailable') return refuse(status.UNAVAILABLE, caller.problem);
    const identity = caller?.identity ?? null;
    const admission = this.#admission.admit(identity === null ? '' : spiffeId(identity));
    if ('problem' in admission) return refuse(status.RESOURCE_EXHAUSTED, admission.problem);
    let nonces = 0;
    const nextNonce: NextNonce = (atLeast) => {
      nonces = Math.max(nonces + 1, atLeast);
      return String(nonces);
    };
    metrics.connected(1);
    const session: DiscoverySession<Request, Response> = new DiscoverySession({
      call,
      identity,
      clock,
      metrics,
      log,
      subscribe: (typeUrl) => subscribe(typeUrl, nextNonce),
      wallNowMs: this.#options.wallNowMs,
      parseView: this.#options.parseView,
      registrations: this.#options.registrations,
      onReady: () => this.#queue.add(session),
      onSettled: () => this.#queue.settled(session),
      onClosed: () => {
        metrics.connected(-1);
        this.#sessions.delete(session);
        this.#queue.remove(session);
        admission.release();
      },
    });
    this.#sessions.add(session);
  }

  /** Bytes that were sent. */
  #push(session: Session): number {
    if (this.#snapshot === null || session.view === null) return 0;
    const { metrics, log, translate } = this.#options;
    const { view } = session;
    const onError = (error: unknown, typeUrl: string): void => {
      metrics.internalError();
      log.error({ err: error, proxy: view.id, typeUrl }, 'translation failed; proxy keeps its own');
    };
    try {
      const set = translate(this.#snapshot, view);
      const resources = new ProxyResources(set, this.#resources.get(session) ?? null, onError);
      this.#resources.set(session, resources);
      return session.setResources(resources);
    } catch (error) {
      onError(error, '');
      return 0;
    }
  }
}
