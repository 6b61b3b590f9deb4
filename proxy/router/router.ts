import { isGrpcContent } from '../http/grpc-content-type.ts';
import { httpStatusOfGrpcEnd } from '../http/grpc-status.ts';
import { type HeaderBlock, hasHeader, headerValue } from '../http/header-block.ts';
import type { RequestHead, ResponseHead } from '../http/message.ts';
import type { ClientStream, ResetReason } from '../http/stream.ts';
import { Timer, type TimerLists, type TimerOwner } from '../tcp/timer-list.ts';
import type {
  Cluster,
  ClusterTable,
  Endpoint,
  PendingStream,
  PickContext,
  StreamFailure,
  UpstreamConnectionInfo,
  UpstreamSink,
} from '../upstream/upstream.ts';
import type { UpstreamResetReason } from './outcome.ts';
import { redirectLocation } from './redirect.ts';
import { RequestBody } from './request-body.ts';
import { type RequestTimeouts, requestTimeouts, writeTimeouts } from './request-timeouts.ts';
import { requestRetryPolicy } from './retry-headers.ts';
import { isSafeMethod } from './retry-policy.ts';
import { RetryState } from './retry-state.ts';
import type { RouteActionConfig, WeightedCluster } from './route-config.ts';
import type { Route } from './route-table.ts';
import type { RouterHost } from './router-host.ts';
import { TcpUpstream } from './tcp-upstream.ts';
import { transportFailureReason } from './transport-failure.ts';
import { addressRequestHead, finishRequestHead, finishResponseHead } from './upstream-head.ts';
import { pickWeightedCluster } from './weighted-cluster.ts';

/** What every router of one connection manager shares. */
export interface RouterDeps {
  readonly clusters: ClusterTable;
  readonly timers: TimerLists;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** OUTBOUND: the endpoint is the peer of the record; else the caller is. */
  readonly direction: 'INBOUND' | 'OUTBOUND' | 'UNSPECIFIED';
  /** Says who we are to the other sidecar; null = say nothing. */
  readonly peerMetadata: { readonly id: string; readonly value: string } | null;
  /** Whether the address (`ip:port`) is an outbound listener of this proxy: a request would run in circles. */
  readonly isOwnListener: (address: string) => boolean;
}

/**
 * A response head that waits for its first frame (RS-07) waits no longer than this: a server stream that stays silent
 * for long still shows its head to a client that may be waiting for it.
 */
const PEEK_MS_MAX = 1000;

const TimerId = { Total: 0, PerTry: 1, Backoff: 2, Peek: 3, Duration: 4 } as const;

/**
 * The end of the request path: one exchange with an upstream, its tries, its timeouts (TM-17), its
 * body kept for replay (RS-06). One object a request; it is itself the sink of the try under way,
 * since there is one at a time. States, by the fields that are set:
 *
 *   waiting (#stream null: connecting, or backing off) → streaming (#stream set)
 *     → peeking (#heldHead: a gRPC head without status, kept until its first frame)
 *     → responding (#responding: head passed on, no retry any more) → #done
 */
export class Router implements UpstreamSink, TimerOwner, PickContext {
  readonly #host: RouterHost;
  readonly #deps: RouterDeps;
  readonly #route: Route;
  readonly #head: RequestHead;

  // PickContext
  tried: Endpoint[] = NO_ENDPOINTS;
  repicksMax = 0;
  readonly endpointOnly = '';
  originalDestination: string;

  #cluster: Cluster | null = null;
  #weighted: WeightedCluster | null = null;
  #retries: RetryState | null = null;
  readonly #timeouts: RequestTimeouts = { totalMs: 0, perTryMs: 0 };
  #endpoint: Endpoint | null = null;
  #pending: PendingStream | null = null;
  #stream: ClientStream | null = null;
  #reusedConnection = false;

  /** Increases with every try, so that a callback within `openStream` is told from one after it. */
  #tryNumber = 0;
  #racesLeft = 1;
  #refusalsLeft = 2;
  readonly #body: RequestBody;
  #backingOff = false;
  #heldHead: ResponseHead | null = null;
  #responding = false;
  /** The response is gRPC, and how it ends decides what is said of the endpoint. */
  #outcomeDue = false;
  #tunnel = false;
  #responseEnded = false;
  #done = false;

  #totalTimer: Timer | null = null;
  #perTryTimer: Timer | null = null;
  #backoffTimer: Timer | null = null;
  #peekTimer: Timer | null = null;
  #durationTimer: Timer | null = null;

  constructor(
    host: RouterHost,
    deps: RouterDeps,
    route: Route,
    head: RequestHead,
    originalDestination: string,
  ) {
    this.#host = host;
    this.#deps = deps;
    this.#route = route;
    this.#head = head;
    this.originalDestination = originalDestination;
    this.#body = new RequestBody(host);
  }

  /** Decides by the route and, where it leads to a cluster, begins the first try. */
  start(endStream: boolean): void {
    const action = this.#route.entry.action;
    switch (action.kind) {
      case 'redirect':
        this.#end();
        this.#host.onLocalOutcome({
          kind: 'redirect',
          status: action.status,
          location: redirectLocation(action, this.#route.entry.match.path, this.#head),
        });
        return;
      case 'directResponse':
        this.#end();
        this.#host.onLocalOutcome({
          kind: 'directResponse',
          status: action.status,
          body: action.body,
        });
        return;
      case 'route':
        this.#startRoute(action, endStream);
    }
  }

  /** Always true: what cannot be taken pauses the host. */
  writeData(chunk: Buffer, endStream: boolean): boolean {
    if (this.#done) return true;
    this.#body.write(this.#stream, chunk, endStream);
    if (endStream) this.#onRequestEnd();
    return true;
  }

  writeTrailers(trailers: HeaderBlock): void {
    if (this.#done) return;
    this.#body.writeTrailers(this.#stream, trailers);
    this.#onRequestEnd();
  }

  /** Response back-pressure from downstream. */
  pauseResponse(): void {
    this.#stream?.pause();
  }

  resumeResponse(): void {
    this.#stream?.resume();
  }

  /** The downstream stream is over (client gone, local reply from elsewhere): gives the upstream up. */
  cancel(): void {
    if (this.#done) return;
    this.#abandonTry();
    this.#end();
  }

  // --- one exchange ---------------------------------------------------------------------------

  #startRoute(action: RouteActionConfig, endStream: boolean): void {
    const record = this.#host.record;
    const head = this.#head;
    const name = this.#clusterName(action);
    const cluster = name === '' ? undefined : this.#deps.clusters.get(name);
    record.upstreamCluster = name;
    if (cluster === undefined) {
      this.#end();
      this.#host.onLocalOutcome({ kind: 'noClusterFound', status: action.clusterNotFoundStatus });
      return;
    }
    this.#cluster = cluster;
    record.destinationService = cluster.service;

    const policy = requestRetryPolicy(
      action.retry ?? this.#route.virtualHost.config.retry,
      head.headers,
    );
    this.#retries = new RetryState(policy, cluster, record);
    if (policy?.skipPreviousHosts) {
      this.tried = [];
      this.repicksMax = policy.hostSelectionAttemptsMax;
    }
    requestTimeouts(action, policy, head.headers, record.grpc, this.#timeouts);
    finishRequestHead(head, this.#route, action, this.#weighted, record);
    if (endStream) {
      this.#body.ended = true;
      this.#onRequestEnd();
    }
    this.#beginTry();
  }

  #clusterName(action: RouteActionConfig): string {
    if (action.clusterHeader !== '') return headerValue(this.#head.headers, action.clusterHeader);
    const clusters = action.clusters;
    if (clusters.length === 0) return '';
    const chosen =
      clusters.length === 1
        ? clusters[0]!
        : pickWeightedCluster(clusters, action.weightTotal, this.#deps.random());
    this.#weighted = chosen;
    return chosen.name;
  }

  #onRequestEnd(): void {
    const now = this.#deps.timers.clock.nowMs();
    this.#body.endedMs = now;
    // The clock of a route runs from the end of the request, as in Envoy: a slow upload is the
    // stream idle timeout's business.
    if (this.#timeouts.totalMs > 0 && !this.#tunnel) {
      this.#totalTimer = this.#armed(null, this.#timeouts.totalMs, TimerId.Total);
    }
    if (this.#stream !== null && !this.#responding) this.#startPerTryTimer();
    if (this.#tunnel && this.#responseEnded) this.#end();
  }

  // --- one try --------------------------------------------------------------------------------

  #beginTry(): void {
    const cluster = this.#cluster!;
    const record = this.#host.record;
    const endpoint = cluster.pickEndpoint(this);
    if (endpoint === null) {
      this.#fail({ kind: 'noHealthyUpstream' });
      return;
    }
    this.#endpoint = endpoint;
    record.upstreamHost = endpoint.address;
    // A redirected connection's local address is what the app dialled, and may well be the endpoint.
    const isThisListener =
      this.originalDestination === '' && endpoint.address === record.downstream.localAddress;
    if (isThisListener || this.#deps.isOwnListener(endpoint.address)) {
      this.#fail({ kind: 'loopDetected', endpoint: endpoint.address });
      return;
    }
    if (this.tried !== NO_ENDPOINTS) this.tried.push(endpoint);
    record.attempts++;
    this.#writeTimeouts();
    const action = this.#route.entry.action as RouteActionConfig;
    addressRequestHead(this.#head, this.#route, action, cluster, endpoint, this.#deps, record);

    const tryNumber = ++this.#tryNumber;
    const pending =
      this.#head.upgrade === 'connect'
        ? cluster.connect(endpoint, new TcpUpstream(this))
        : cluster.openStream(
            endpoint,
            this.#head,
            this.#body.sentWithHead && this.#head.upgrade === '',
            this,
          );
    // The answer may have come, and even led to the next try, before the call returned.
    if (this.#done || this.#backingOff || this.#tryNumber !== tryNumber) return;
    if (this.#stream !== null) return;
    this.#pending = pending;
    if (!this.#body.ended) this.#body.pause();
  }

  #writeTimeouts(): void {
    const elapsedMs =
      this.#tryNumber === 0 || this.#body.endedMs === 0
        ? 0
        : this.#deps.timers.clock.nowMs() - this.#body.endedMs;
    const { grpc } = this.#host.record;
    const action = this.#route.entry.action as RouteActionConfig;
    writeTimeouts(this.#timeouts, action, this.#head.headers, grpc, elapsedMs);
  }

  onStreamReady(stream: ClientStream, connection: UpstreamConnectionInfo): void {
    if (this.#done) {
      stream.reset('localReset');
      return;
    }
    const record = this.#host.record;
    this.#pending = null;
    this.#stream = stream;
    this.#reusedConnection = connection.reused;
    record.upstreamLocalAddress = connection.localAddress;
    record.upstreamMutualTls = connection.mutualTls;
    record.upstreamPeerPrincipal = connection.peerPrincipal;
    record.upstreamTransportFailureReason = '';
    if (record.upstreamStartMs === 0) record.upstreamStartMs = this.#deps.timers.clock.nowMs();
    const durationMaxMs = this.#cluster!.config.streamDurationMaxMs;
    if (durationMaxMs > 0) {
      this.#durationTimer = this.#armed(this.#durationTimer, durationMaxMs, TimerId.Duration);
    }
    if (this.#body.ended) this.#startPerTryTimer();

    this.#body.sendTo(stream, this.#retries!.possible);
  }

  onStreamFailure(failure: StreamFailure, detail: string): void {
    if (this.#done) return;
    const reason = transportFailureReason(detail);
    this.#pending = null;
    this.#host.record.upstreamTransportFailureReason = failure === 'overflow' ? '' : reason;
    if (failure !== 'overflow') this.#endpoint!.reportOutcome(0);
    this.#tryFailed(failure, failure === 'connectionFailure' ? reason : '', false);
  }

  onReset(reason: ResetReason, detail: string): void {
    if (this.#done) return;
    this.#stream = null;
    this.#disarm(this.#perTryTimer);
    this.#disarm(this.#durationTimer);
    const answered = this.#takeHeldHead() !== null;
    const record = this.#host.record;
    if (this.#responding) {
      record.connectionTerminationDetails = detail;
      if (this.#outcomeDue) this.#endpoint!.reportOutcome(0);
      this.#fail({
        kind: 'upstreamReset',
        reason,
        transportFailureReason: '',
        retried: this.#retries!.done > 0,
      });
      return;
    }
    if (!answered && reason === 'remoteRefused' && this.#mayRepeatRefused()) {
      this.#refusalsLeft--;
      this.#beginTry();
      return;
    }
    this.#endpoint!.reportOutcome(0);
    if (!answered && this.#metKeepAliveRace(reason)) {
      this.#racesLeft--;
      this.#beginTry();
      return;
    }
    this.#tryFailed(reason, '', true);
  }

  /**
   * A GOAWAY that leaves the request out, or REFUSED_STREAM: it was not processed (RFC 9113 §8.7) and is said again
   * without a policy that asks for it, as long as all of it is at hand.
   */
  #mayRepeatRefused(): boolean {
    return this.#refusalsLeft > 0 && !this.#body.lost && this.#head.upgrade === '';
  }

  /** D4: a reused connection that died before it answered, with a request that can be said twice. */
  #metKeepAliveRace(reason: ResetReason): boolean {
    return (
      reason === 'connectionTermination' &&
      this.#reusedConnection &&
      this.#racesLeft > 0 &&
      this.#body.ended &&
      this.#body.untouched &&
      this.#head.upgrade === '' &&
      isSafeMethod(this.#head.method)
    );
  }

  #tryFailed(reason: UpstreamResetReason, transportReason: string, requestSent: boolean): void {
    const retries = this.#retries!;
    if (retries.repeatsReset(reason, requestSent) && this.#tryAgain()) return;
    this.#fail({
      kind: 'upstreamReset',
      reason,
      transportFailureReason: transportReason,
      retried: retries.done > 0,
    });
  }

  // --- retry ----------------------------------------------------------------------------------

  /** Plans one more try; false where there is none. */
  #tryAgain(): boolean {
    const delayMs = this.#retries!.next(!this.#body.lost, this.#deps.random());
    if (delayMs < 0) return false;
    this.#disarm(this.#durationTimer);
    if (!this.#body.ended) this.#body.pause();
    this.#backingOff = true;
    this.#backoffTimer = this.#armed(this.#backoffTimer, delayMs, TimerId.Backoff);
    return true;
  }

  // --- response -------------------------------------------------------------------------------

  onInformational(head: ResponseHead): void {
    // `expect` has been answered here and taken off, so a 100 is nobody's.
    if (this.#done || head.status === 100) return;
    // The client has seen part of an answer: there is no way back to another try.
    this.#retries!.giveUp();
    this.#host.onUpstreamInformational(head);
  }

  onResponse(head: ResponseHead, endStream: boolean): void {
    if (this.#done) return;
    const saysStatusLater =
      !endStream &&
      this.#host.record.grpc &&
      head.status === 200 &&
      isGrpcContent(head.headers) &&
      !hasHeader(head.headers, 'grpc-status');
    this.#outcomeDue = saysStatusLater;
    // A client that has more to say may wait for the head with it: only after the end of the request it is kept back.
    if (saysStatusLater && this.#body.ended && this.#retries!.awaitsGrpcStatus) {
      this.#heldHead = head;
      this.#peekTimer = this.#armed(this.#peekTimer, PEEK_MS_MAX, TimerId.Peek);
      return;
    }
    if (!saysStatusLater) this.#endpoint!.reportOutcome(outcomeOf(head, endStream));
    const retries = this.#retries!;
    if (!retries.repeatsResponse(head)) {
      retries.onAccepted();
    } else if (this.#tryAgain()) {
      this.#disarm(this.#perTryTimer);
      if (!endStream || !this.#body.ended) this.#stream?.reset('localReset');
      this.#stream = null;
      return;
    }
    this.#passResponse(head, endStream);
  }

  /** The head that waits for its first frame, which is here; null where none does. */
  #takeHeldHead(): ResponseHead | null {
    const held = this.#heldHead;
    if (held === null) return null;
    this.#heldHead = null;
    this.#disarm(this.#peekTimer);
    return held;
  }

  /** The first frame is a message, or has not come for long: whatever the status will be, it is the client's. */
  #releaseHeldHead(): void {
    const held = this.#takeHeldHead()!;
    this.#retries!.onAccepted();
    this.#passResponse(held, false);
  }

  #reportGrpcEnd(trailers: HeaderBlock): void {
    this.#outcomeDue = false;
    this.#endpoint!.reportOutcome(httpStatusOfGrpcEnd(trailers));
  }

  /** From here on the client has seen an answer. */
  #passResponse(head: ResponseHead, endStream: boolean): void {
    this.#disarm(this.#perTryTimer);
    this.#retries!.release();
    this.#responding = true;
    this.#body.forget();
    const record = this.#host.record;
    const now = this.#deps.timers.clock.nowMs();
    record.responseStartMs = now;
    if (head.upgrade) {
      // PR-09: a tunnel may outlive any timeout that was meant for a response.
      this.#tunnel = true;
      this.#disarm(this.#totalTimer);
    } else if (this.#head.upgrade !== '') {
      // The upstream refused to switch: what asked for a tunnel has no content.
      this.#body.ended = true;
    }
    const timed = this.#body.ended && this.#head.upgrade !== 'connect';
    const serviceTimeMs = timed ? Math.max(0, now - this.#body.endedMs) : -1;
    finishResponseHead(head, this.#route, this.#weighted, serviceTimeMs, record);
    // Before the host is told: it may end the exchange from within, and a complete one is not reset.
    if (endStream) this.#responseEnded = true;
    this.#host.onUpstreamResponse(head, endStream);
    if (endStream) this.#onResponseEnd();
  }

  onData(chunk: Buffer, endStream: boolean): void {
    if (this.#done) return;
    if (this.#heldHead !== null) {
      // No message yet: the status may still come alone.
      if (chunk.length === 0 && !endStream) return;
      this.#releaseHeldHead();
      if (this.#done) return;
    }
    if (endStream) {
      this.#responseEnded = true;
      if (this.#outcomeDue) this.#reportGrpcEnd(NO_FIELDS);
    }
    this.#host.onUpstreamData(chunk, endStream);
    if (endStream) this.#onResponseEnd();
  }

  onTrailers(trailers: HeaderBlock): void {
    if (this.#done) return;
    if (this.#outcomeDue) this.#reportGrpcEnd(trailers);
    const held = this.#takeHeldHead();
    if (held !== null) {
      if (!this.#retries!.repeatsTrailers(held, trailers)) {
        this.#retries!.onAccepted();
      } else if (this.#tryAgain()) {
        this.#disarm(this.#perTryTimer);
        // Both halves have ended: the connection is the pool's again.
        this.#stream = null;
        return;
      }
      this.#passResponse(held, false);
      if (this.#done) return;
    }
    this.#responseEnded = true;
    this.#host.onUpstreamTrailers(trailers);
    this.#onResponseEnd();
  }

  onDrain(): void {
    if (!this.#done) this.#body.resume();
  }

  #onResponseEnd(): void {
    if (this.#done) return;
    this.#responseEnded = true;
    // The other half of a tunnel goes on.
    if (this.#tunnel && !this.#body.ended) return;
    if (!this.#body.ended) this.#stream?.reset('localReset');
    this.#end();
  }

  // --- ends -----------------------------------------------------------------------------------

  onTimer(id: number): void {
    if (this.#done) return;
    switch (id) {
      case TimerId.Backoff:
        this.#backingOff = false;
        this.#beginTry();
        return;
      case TimerId.PerTry:
        this.#cluster!.countEvent('perTryTimeout');
        this.#endpoint!.reportOutcome(0);
        this.#abandonTry();
        if (this.#retries!.repeatsPerTryTimeout() && this.#tryAgain()) return;
        this.#fail({ kind: 'upstreamPerTryTimeout' });
        return;
      case TimerId.Duration:
        this.#onDurationMax();
        return;
      case TimerId.Peek:
        this.#releaseHeldHead();
        return;
      case TimerId.Total:
        this.#cluster!.countEvent('timeout');
        if (!this.#backingOff) this.#endpoint?.reportOutcome(0);
        this.#abandonTry();
        this.#fail({ kind: 'upstreamRequestTimeout' });
    }
  }

  /** A reset by us is for the policy to repeat, as long as nothing has been passed on. */
  #onDurationMax(): void {
    const retries = this.#retries!;
    this.#cluster!.countEvent('maxDuration');
    this.#abandonTry();
    if (!this.#responding && retries.repeatsReset('localReset', true) && this.#tryAgain()) return;
    this.#fail({ kind: 'upstreamDurationMax', requestComplete: this.#body.ended });
  }

  #startPerTryTimer(): void {
    if (this.#timeouts.perTryMs > 0) {
      this.#perTryTimer = this.#armed(this.#perTryTimer, this.#timeouts.perTryMs, TimerId.PerTry);
    }
  }

  /** Timers are made when they are first needed: most requests need one or none. */
  #armed(timer: Timer | null, durationMs: number, id: number): Timer {
    const armed = timer ?? new Timer(this, id);
    this.#deps.timers.arm(armed, durationMs);
    return armed;
  }

  #disarm(timer: Timer | null): void {
    if (timer !== null) this.#deps.timers.cancel(timer);
  }

  /** Stops the try under way, whatever it has reached. */
  #abandonTry(): void {
    this.#disarm(this.#perTryTimer);
    this.#disarm(this.#backoffTimer);
    this.#disarm(this.#durationTimer);
    this.#takeHeldHead();
    this.#backingOff = false;
    const pending = this.#pending;
    const stream = this.#stream;
    this.#pending = null;
    this.#stream = null;
    pending?.cancel();
    // A finished exchange leaves its connection to the pool; a reset would close it.
    if (!this.#responseEnded || !this.#body.ended) stream?.reset('localReset');
  }

  #fail(outcome: Parameters<RouterHost['onLocalOutcome']>[0]): void {
    this.#end();
    this.#host.onLocalOutcome(outcome);
  }

  #end(): void {
    this.#done = true;
    this.#retries?.release();
    this.#takeHeldHead();
    this.#disarm(this.#totalTimer);
    this.#disarm(this.#perTryTimer);
    this.#disarm(this.#durationTimer);
    this.#disarm(this.#backoffTimer);
    this.#body.forget();
    this.#pending = null;
    this.#stream = null;
  }
}

/** What a response head says of the endpoint: its status, or that of the gRPC status which it carries (RS-21). */
function outcomeOf(head: ResponseHead, endStream: boolean): number {
  const { headers, status } = head;
  if (status !== 200 || !isGrpcContent(headers)) return status;
  return endStream || hasHeader(headers, 'grpc-status') ? httpStatusOfGrpcEnd(headers) : status;
}

const NO_FIELDS: HeaderBlock = [];
const NO_ENDPOINTS: Endpoint[] = [];
