import {
  type HeaderBlock,
  hasHeader,
  headerValue,
  removeHeader,
  setHeader,
} from '../http/header-block.ts';
import type { RequestHead, ResponseHead } from '../http/message.ts';
import type { ClientStream, ResetReason } from '../http/stream.ts';
import { ResponseFlag, UNKNOWN_WORKLOAD } from '../observe/request-record.ts';
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
import { applyMutations } from './header-mutation.ts';
import type { UpstreamResetReason } from './outcome.ts';
import { redirectLocation } from './redirect.ts';
import { REPLAY_BYTES_MAX, ReplayBuffer } from './replay-buffer.ts';
import { type RequestTimeouts, requestTimeouts, writeTimeouts } from './request-timeouts.ts';
import { requestRetryPolicy } from './retry-headers.ts';
import {
  backoffMs,
  isSafeMethod,
  retriesPerTryTimeout,
  retriesReset,
  retriesResponse,
} from './retry-policy.ts';
import { applyPathRewrite } from './rewrite.ts';
import type { RetryPolicyConfig, RouteActionConfig, WeightedCluster } from './route-config.ts';
import type { Route } from './route-table.ts';
import type { RouterHost } from './router-host.ts';
import { TcpUpstream } from './tcp-upstream.ts';
import { transportFailureReason } from './transport-failure.ts';
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

const TimerId = { Total: 0, PerTry: 1, Backoff: 2 } as const;

/**
 * The end of the request path: one exchange with an upstream, its tries, its timeouts (TM-17), its
 * body kept for replay (RS-06). One object a request; it is itself the sink of the try under way,
 * since there is one at a time. States, by the fields that are set:
 *
 *   waiting (#stream null: connecting, or backing off) → streaming (#stream set)
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
  #policy: RetryPolicyConfig | null = null;
  readonly #timeouts: RequestTimeouts = { totalMs: 0, perTryMs: 0 };
  #endpoint: Endpoint | null = null;
  #pending: PendingStream | null = null;
  #stream: ClientStream | null = null;
  #reusedConnection = false;
  #body: ReplayBuffer | null = null;

  /** Increases with every try, so that a callback within `openStream` is told from one after it. */
  #tryNumber = 0;
  #retriesLeft = 0;
  #retriesDone = 0;
  #racesLeft = 1;
  #holdsRetry = false;
  /** Part of the body has been sent and was not kept. */
  #bodyLost = false;
  #requestEnded = false;
  #requestEndedMs = 0;
  #requestPaused = false;
  #backingOff = false;
  #responding = false;
  #tunnel = false;
  #responseEnded = false;
  #done = false;

  #totalTimer: Timer | null = null;
  #perTryTimer: Timer | null = null;
  #backoffTimer: Timer | null = null;

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
    this.#requestEnded = endStream;
    const stream = this.#stream;
    if (stream === null) {
      this.#body ??= new ReplayBuffer();
      this.#body.add(chunk, endStream);
    } else {
      if (this.#body !== null) this.#keep(this.#body, chunk, endStream);
      if (!stream.writeData(chunk, endStream) && !endStream) this.#pauseRequest();
    }
    if (endStream) this.#onRequestEnd();
    return true;
  }

  writeTrailers(trailers: HeaderBlock): void {
    if (this.#done) return;
    this.#requestEnded = true;
    if (this.#stream === null) {
      this.#body ??= new ReplayBuffer();
      this.#body.addTrailers(trailers);
    } else {
      this.#body?.addTrailers(trailers);
      this.#stream.writeTrailers(trailers);
    }
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
    this.#policy = policy;
    if (policy !== null) {
      this.#retriesLeft = policy.retriesMax;
      if (policy.skipPreviousHosts) {
        this.tried = [];
        this.repicksMax = policy.hostSelectionAttemptsMax;
      }
    }
    requestTimeouts(action, policy, head.headers, record.grpc, this.#timeouts);
    this.#finishHead(action);
    if (endStream) {
      this.#requestEnded = true;
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

  /** What the route changes in the request: fields (TM-13), then path and authority (TM-12). */
  #finishHead(action: RouteActionConfig): void {
    const head = this.#head;
    const record = this.#host.record;
    if (this.#weighted !== null) {
      this.#route.clusterMutations(this.#weighted)?.request.apply(head.headers, record);
    }
    applyMutations(this.#route.requestHeaders, head.headers, record);
    applyPathRewrite(head, this.#route.entry.match.path, action);
    const hostRewrite = this.#weighted?.hostRewrite || action.hostRewrite;
    if (hostRewrite !== '') this.#rewriteAuthority(hostRewrite);
  }

  /** The first authority stays in `x-envoy-original-host`, whatever a later try is told. */
  #rewriteAuthority(authority: string): void {
    const head = this.#head;
    if (head.authority === authority) return;
    if (!hasHeader(head.headers, 'x-envoy-original-host')) {
      setHeader(head.headers, 'x-envoy-original-host', head.authority);
    }
    head.authority = authority;
  }

  #onRequestEnd(): void {
    const now = this.#deps.timers.clock.nowMs();
    this.#requestEndedMs = now;
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
    this.#addressHead(endpoint);

    const tryNumber = ++this.#tryNumber;
    const pending =
      this.#head.upgrade === 'connect'
        ? cluster.connect(endpoint, new TcpUpstream(this))
        : cluster.openStream(
            endpoint,
            this.#head,
            this.#requestEnded && this.#body === null && this.#head.upgrade === '',
            this,
          );
    // The answer may have come, and even led to the next try, before the call returned.
    if (this.#done || this.#backingOff || this.#tryNumber !== tryNumber) return;
    if (this.#stream !== null) return;
    this.#pending = pending;
    if (!this.#requestEnded) this.#pauseRequest();
  }

  /** The fields of the head that differ from try to try. */
  #addressHead(endpoint: Endpoint): void {
    const { headers } = this.#head;
    const deps = this.#deps;
    const cluster = this.#cluster!;
    const action = this.#route.entry.action as RouteActionConfig;
    if (action.autoHostRewrite && endpoint.hostname !== '') {
      this.#rewriteAuthority(endpoint.hostname);
    }
    const elapsedMs =
      this.#tryNumber === 0 || this.#requestEndedMs === 0
        ? 0
        : deps.timers.clock.nowMs() - this.#requestEndedMs;
    writeTimeouts(this.#timeouts, action, headers, this.#host.record.grpc, elapsedMs);
    if (this.#route.virtualHost.config.includeAttemptCount) {
      setHeader(headers, 'x-envoy-attempt-count', String(this.#host.record.attempts));
    }
    if (deps.direction !== 'OUTBOUND') return;
    this.#host.record.peer = endpoint.workload ?? UNKNOWN_WORKLOAD;
    if (deps.peerMetadata !== null && endpoint.workload !== null && isMeshCluster(cluster)) {
      setHeader(headers, 'x-envoy-peer-metadata-id', deps.peerMetadata.id);
      setHeader(headers, 'x-envoy-peer-metadata', deps.peerMetadata.value);
    } else {
      removeHeader(headers, 'x-envoy-peer-metadata-id');
      removeHeader(headers, 'x-envoy-peer-metadata');
    }
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
    if (this.#requestEnded) this.#startPerTryTimer();

    const body = this.#body;
    let writable = true;
    if (body !== null) {
      writable = body.writeTo(stream);
      if (body.bytes > REPLAY_BYTES_MAX || !this.#mayRetry()) this.#dropBody();
    } else if (!this.#requestEnded && this.#mayRetry()) {
      this.#body = new ReplayBuffer();
    } else if (!this.#requestEnded) {
      this.#bodyLost = true;
    }
    if (writable) this.#resumeRequest();
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
    const record = this.#host.record;
    if (this.#responding) {
      record.connectionTerminationDetails = detail;
      this.#fail({
        kind: 'upstreamReset',
        reason,
        transportFailureReason: '',
        retried: this.#retriesDone > 0,
      });
      return;
    }
    this.#endpoint!.reportOutcome(0);
    if (this.#metKeepAliveRace(reason)) {
      this.#racesLeft--;
      this.#beginTry();
      return;
    }
    this.#tryFailed(reason, '', true);
  }

  /** D4: a reused connection that died before it answered, with a request that can be said twice. */
  #metKeepAliveRace(reason: ResetReason): boolean {
    return (
      reason === 'connectionTermination' &&
      this.#reusedConnection &&
      this.#racesLeft > 0 &&
      this.#requestEnded &&
      this.#body === null &&
      !this.#bodyLost &&
      this.#head.upgrade === '' &&
      isSafeMethod(this.#head.method)
    );
  }

  #tryFailed(reason: UpstreamResetReason, transportReason: string, requestSent: boolean): void {
    const policy = this.#policy;
    if (policy !== null && retriesReset(policy, reason, requestSent) && this.#retry()) return;
    this.#fail({
      kind: 'upstreamReset',
      reason,
      transportFailureReason: transportReason,
      retried: this.#retriesDone > 0,
    });
  }

  // --- retry ----------------------------------------------------------------------------------

  #mayRetry(): boolean {
    return this.#policy !== null && this.#policy.retryOn !== 0 && this.#retriesLeft > 0;
  }

  /** Plans one more try; false (and the flag that says why) where there is none left. */
  #retry(): boolean {
    this.#releaseRetry();
    const record = this.#host.record;
    if (this.#retriesLeft === 0) {
      this.#cluster!.countEvent('retryLimitExceeded');
      record.flags |= ResponseFlag.URX;
      return false;
    }
    if (this.#bodyLost) return false;
    this.#retriesLeft--;
    if (!this.#cluster!.tryRetry()) {
      record.flags |= ResponseFlag.UO;
      return false;
    }
    this.#holdsRetry = true;
    this.#retriesDone++;
    if (!this.#requestEnded) this.#pauseRequest();
    const delayMs = backoffMs(this.#policy!, this.#retriesDone, this.#deps.random());
    this.#backingOff = true;
    this.#backoffTimer = this.#armed(this.#backoffTimer, Math.max(1, delayMs), TimerId.Backoff);
    return true;
  }

  #releaseRetry(): void {
    if (!this.#holdsRetry) return;
    this.#holdsRetry = false;
    this.#cluster!.endRetry();
  }

  #keep(body: ReplayBuffer, chunk: Buffer, endStream: boolean): void {
    if (body.bytes + chunk.length > REPLAY_BYTES_MAX) this.#dropBody();
    else body.add(chunk, endStream);
  }

  /** From here on the request cannot be said again. */
  #dropBody(): void {
    this.#body = null;
    this.#bodyLost = true;
  }

  // --- response -------------------------------------------------------------------------------

  onInformational(head: ResponseHead): void {
    // `expect` has been answered here and taken off, so a 100 is nobody's.
    if (this.#done || head.status === 100) return;
    // The client has seen part of an answer: there is no way back to another try.
    this.#retriesLeft = 0;
    this.#host.onUpstreamInformational(head);
  }

  onResponse(head: ResponseHead, endStream: boolean): void {
    if (this.#done) return;
    this.#disarm(this.#perTryTimer);
    this.#endpoint!.reportOutcome(head.status);
    const policy = this.#policy;
    if (policy !== null && retriesResponse(policy, head)) {
      if (this.#retry()) {
        if (!endStream || !this.#requestEnded) this.#stream?.reset('localReset');
        this.#stream = null;
        return;
      }
    } else if (this.#retriesDone > 0) {
      this.#cluster!.countEvent('retrySuccess');
    }
    this.#releaseRetry();
    this.#responding = true;
    this.#body = null;
    const record = this.#host.record;
    const now = this.#deps.timers.clock.nowMs();
    record.responseStartMs = now;
    if (head.upgrade) {
      // PR-09: a tunnel may outlive any timeout that was meant for a response.
      this.#tunnel = true;
      this.#disarm(this.#totalTimer);
    } else if (this.#head.upgrade !== '') {
      // The upstream refused to switch: what asked for a tunnel has no content.
      this.#requestEnded = true;
    }
    this.#finishResponseHead(head, now);
    // Before the host is told: it may end the exchange from within, and a complete one is not reset.
    if (endStream) this.#responseEnded = true;
    this.#host.onUpstreamResponse(head, endStream);
    if (endStream) this.#onResponseEnd();
  }

  #finishResponseHead(head: ResponseHead, now: number): void {
    const { headers } = head;
    const record = this.#host.record;
    removeHeader(headers, 'x-envoy-peer-metadata');
    removeHeader(headers, 'x-envoy-peer-metadata-id');
    if (this.#requestEnded && this.#head.upgrade !== 'connect') {
      const elapsed = Math.max(0, Math.floor(now - this.#requestEndedMs));
      setHeader(headers, 'x-envoy-upstream-service-time', String(elapsed));
    }
    if (this.#weighted !== null) {
      this.#route.clusterMutations(this.#weighted)?.response.apply(headers, record);
    }
    applyMutations(this.#route.responseHeaders, headers, record);
  }

  onData(chunk: Buffer, endStream: boolean): void {
    if (this.#done) return;
    if (endStream) this.#responseEnded = true;
    this.#host.onUpstreamData(chunk, endStream);
    if (endStream) this.#onResponseEnd();
  }

  onTrailers(trailers: HeaderBlock): void {
    if (this.#done) return;
    this.#responseEnded = true;
    this.#host.onUpstreamTrailers(trailers);
    this.#onResponseEnd();
  }

  onDrain(): void {
    if (!this.#done) this.#resumeRequest();
  }

  #onResponseEnd(): void {
    if (this.#done) return;
    this.#responseEnded = true;
    // The other half of a tunnel goes on.
    if (this.#tunnel && !this.#requestEnded) return;
    if (!this.#requestEnded) this.#stream?.reset('localReset');
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
        if (this.#policy !== null && retriesPerTryTimeout(this.#policy) && this.#retry()) return;
        this.#fail({ kind: 'upstreamPerTryTimeout' });
        return;
      case TimerId.Total:
        this.#cluster!.countEvent('timeout');
        if (!this.#backingOff) this.#endpoint?.reportOutcome(0);
        this.#abandonTry();
        this.#fail({ kind: 'upstreamRequestTimeout' });
    }
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
    this.#backingOff = false;
    const pending = this.#pending;
    const stream = this.#stream;
    this.#pending = null;
    this.#stream = null;
    pending?.cancel();
    // A finished exchange leaves its connection to the pool; a reset would close it.
    if (!this.#responseEnded || !this.#requestEnded) stream?.reset('localReset');
  }

  #fail(outcome: Parameters<RouterHost['onLocalOutcome']>[0]): void {
    this.#end();
    this.#host.onLocalOutcome(outcome);
  }

  #end(): void {
    this.#done = true;
    this.#releaseRetry();
    this.#disarm(this.#totalTimer);
    this.#disarm(this.#perTryTimer);
    this.#disarm(this.#backoffTimer);
    this.#body = null;
    this.#pending = null;
    this.#stream = null;
  }

  #pauseRequest(): void {
    if (this.#requestPaused) return;
    this.#requestPaused = true;
    this.#host.pauseRequest();
  }

  #resumeRequest(): void {
    if (!this.#requestPaused) return;
    this.#requestPaused = false;
    this.#host.resumeRequest();
  }
}

/** Whether streams of the cluster can run on mesh mutual TLS, where the other end is a sidecar. */
function isMeshCluster(cluster: Cluster): boolean {
  const { tls, tlsMatches } = cluster.config;
  return tls !== null || tlsMatches.some((match) => match.tls !== null);
}

const NO_ENDPOINTS: Endpoint[] = [];
