import {
  type BodyFilter,
  type FilterContext,
  FilterResult,
  type HttpFilter,
} from '../filter/http-filter.ts';
import { isGrpcContent } from '../http/grpc-content-type.ts';
import { encodeGrpcMessage, grpcStatusOfHttp, parseGrpcStatus } from '../http/grpc-status.ts';
import { type HeaderBlock, hasHeader, headerValue, setOwnHeader } from '../http/header-block.ts';
import { type RequestHead, ResponseHead } from '../http/message.ts';
import type { BodySink, ResetReason, ServerStream } from '../http/stream.ts';
import { RequestRecord, ResponseFlag } from '../observe/request-record.ts';
import { applyMutations } from '../router/header-mutation.ts';
import type { LocalOutcome } from '../router/outcome.ts';
import { ReplayBuffer } from '../router/replay-buffer.ts';
import type { Route, RouteTable } from '../router/route-table.ts';
import { Router } from '../router/router.ts';
import type { RouterHost } from '../router/router-host.ts';
import { Timer, type TimerLists, type TimerOwner } from '../tcp/timer-list.ts';
import { type Flushable, flushAtEndOfTurn } from '../tcp/write-turn.ts';
import type { DownstreamConnectionInfo } from '../tls/peer-certificate.ts';
import { trustedClientAddress } from './client-address.ts';
import type { DownstreamConnection } from './downstream-connection.ts';
import { GrpcMessages } from './grpc-messages.ts';
import { type LocalReply, lateResetDetails, localReply } from './local-reply.ts';
import { applyServerHeader } from './server-header.ts';

/** What takes a CONNECT request over once it has been answered 200. */
export interface Tunnel {
  /** The 200 is on its way. */
  onOpen(): void;
  onData(chunk: Buffer, endStream: boolean): void;
  onDrain(): void;
  /** The outer stream is gone. */
  onClose(detail: string): void;
}

const TimerId = { StreamIdle: 0, Request: 1, Duration: 2 } as const;

/**
 * One request on its way down the stages and its response on its way back. One object a request,
 * one shape; it is the codec's sink, the router's host and the filters' context at once.
 *
 *   head ──▶ stages (may wait) ──▶ router or tunnel ──▶ response head ──▶ body ──▶ finish
 *              │ answer(outcome) ───────────────────────────▲                        ▲
 *              └── client gone, timeout ─────────────────────────────────────────────┘
 *
 * Whatever happens, `#finish` runs exactly once: it writes metrics and access log (I1).
 */
export class ActiveStream implements BodySink, RouterHost, FilterContext, TimerOwner, Flushable {
  readonly connection: DownstreamConnection;
  readonly stream: ServerStream;
  readonly head: RequestHead;
  readonly record: RequestRecord;
  /** What virtual hosts are compared with: the authority, with the tunnel's port where it has none. */
  routeAuthority = '';
  table: RouteTable | null = null;
  route: Route | null = null;
  requestEnded: boolean;

  #stageAt = 0;
  /** A stage has taken over: router, tunnel or local reply. */
  #staged = false;
  #waiting = false;
  #pausedForStage = false;
  #filters: HttpFilter[] = NO_FILTERS;
  #bodyFilters: BodyFilter[] = NO_BODY_FILTERS;
  #router: Router | null = null;
  #tunnel: Tunnel | null = null;
  #messages: GrpcMessages | null = null;
  /** Body chunks that were in hand when the stream was paused for a waiting stage. */
  #held: ReplayBuffer | null = null;
  #idleTimer: Timer | null = null;
  #idleMs = 0;
  #requestTimer: Timer | null = null;
  #durationTimer: Timer | null = null;
  #pauses = 0;
  #responseStarted = false;
  #responseEnded = false;
  #isTunnel = false;
  /** Counted as an open TCP connection. */
  #tunnelOpen = false;
  #finished = false;
  /** The client reset the stream. */
  #leftByClient = false;
  /** The requests inside are logged and counted one by one, the tunnel around them is not. */
  unlogged = false;

  constructor(
    connection: DownstreamConnection,
    stream: ServerStream,
    head: RequestHead,
    endStream: boolean,
  ) {
    const { deps, info } = connection;
    this.connection = connection;
    this.stream = stream;
    this.head = head;
    this.requestEnded = endStream;
    const record = new RequestRecord(deps.wallClockMs(), deps.timers.clock.nowMs(), info);
    record.method = head.method;
    record.path = head.path;
    record.authority = head.authority;
    record.scheme = head.scheme;
    record.protocol = head.version;
    record.requestHeaders = head.headers;
    record.grpc = isGrpcContent(head.headers);
    this.record = record;
  }

  get timers(): TimerLists {
    return this.connection.deps.timers;
  }

  get random(): () => number {
    return this.connection.deps.random;
  }

  get downstream(): DownstreamConnectionInfo {
    return this.connection.info;
  }

  clientAddress(): string {
    const { config, info } = this.connection;
    return trustedClientAddress(this.head.headers, config.xffTrustedHops) ?? info.remoteAddress;
  }

  // --- the way down ---------------------------------------------------------------------------

  /** Runs the stages, once, from the codec's `onRequest`. */
  begin(): void {
    const { config } = this.connection;
    const { stats } = this.connection.manager;
    stats.requestsTotal.value++;
    stats.requestsActive.value++;
    if (this.requestEnded) this.record.requestEndMs = this.record.startMs;
    else if (config.requestTimeoutMs > 0) {
      this.#requestTimer = new Timer(this, TimerId.Request);
      this.timers.arm(this.#requestTimer, config.requestTimeoutMs);
    }
    this.#advance();
  }

  #advance(): void {
    const { stages } = this.connection.manager;
    while (this.#stageAt < stages.length) {
      const result = stages[this.#stageAt++]!.begin(this);
      if (result === FilterResult.Continue) continue;
      if (result === FilterResult.Wait) {
        this.#waiting = true;
        // Without a body there is nothing to hold back, and a paused transport would hide that the
        // client has gone.
        this.#pausedForStage = !this.requestEnded;
        if (this.#pausedForStage) this.pauseRequest();
      } else {
        this.#staged = true;
      }
      return;
    }
  }

  /** FilterContext: after `Wait`. */
  resume(): void {
    if (!this.#waiting || this.#finished) return;
    this.#waiting = false;
    const paused = this.#pausedForStage;
    this.#advance();
    if (paused) this.resumeRequest();
  }

  addFilter(filter: HttpFilter): void {
    if (this.#filters === NO_FILTERS) this.#filters = [];
    this.#filters.push(filter);
    if (filter.body === null) return;
    if (this.#bodyFilters === NO_BODY_FILTERS) this.#bodyFilters = [];
    this.#bodyFilters.push(filter.body);
  }

  startRouter(route: Route): void {
    const router = new Router(
      this,
      this.connection.manager.routerDeps,
      route,
      this.head,
      this.connection.originalDestination !== ''
        ? this.connection.originalDestination
        : this.#explicitDestination(),
    );
    this.#router = router;
    if (this.record.grpc) this.#countMessages();
    this.stream.holdSlot();
    const held = this.#held;
    this.#held = null;
    router.start(this.requestEnded && held === null);
    // The body that arrived while a stage waited.
    if (held !== null) held.writeTo(this);
  }

  #countMessages(): void {
    const { config, deps } = this.connection;
    if (deps.metrics === null || config.direction === 'UNSPECIFIED') return;
    this.#messages = new GrpcMessages(this.record, config.direction, deps.metrics, this.timers);
  }

  /** In explicit-proxy mode the name that the app asked for is where it wants to go. */
  #explicitDestination(): string {
    if (!this.connection.config.explicitProxy) return '';
    const authority = this.routeAuthority;
    if (/:[0-9]+$/.test(authority)) return authority;
    return `${authority}:${this.head.scheme === 'https' ? 443 : 80}`;
  }

  /** Answers 200 and hands both directions to `tunnel`. */
  openTunnel(tunnel: Tunnel): void {
    this.#tunnel = tunnel;
    const head = new ResponseHead(200, []);
    head.upgrade = true;
    this.onUpstreamResponse(head, false);
    if (!this.#finished) tunnel.onOpen();
  }

  /** Milliseconds without a byte either way after which the stream ends; 0 = never. */
  setIdleTimeout(idleMs: number): void {
    this.#idleMs = idleMs;
    if (idleMs > 0) {
      this.#idleTimer ??= new Timer(this, TimerId.StreamIdle);
      this.timers.arm(this.#idleTimer, idleMs);
    } else if (this.#idleTimer !== null) {
      this.timers.cancel(this.#idleTimer);
    }
  }

  /** Milliseconds from now on after which the stream ends, whatever it carries. */
  limitDuration(durationMs: number): void {
    this.#durationTimer = new Timer(this, TimerId.Duration);
    this.timers.arm(this.#durationTimer, durationMs);
  }

  #touch(): void {
    if (this.#idleTimer !== null) this.timers.arm(this.#idleTimer, this.#idleMs);
  }

  // --- from the codec -------------------------------------------------------------------------

  onData(chunk: Buffer, endStream: boolean): void {
    if (this.#finished) return;
    this.record.bytesReceived += chunk.length;
    this.#touch();
    if (endStream) this.#onRequestEnd();
    if (this.#router !== null) this.writeData(chunk, endStream);
    else if (this.#tunnel !== null) this.#tunnel.onData(chunk, endStream);
    else if (!this.#staged) {
      this.#held ??= new ReplayBuffer();
      this.#held.add(chunk, endStream);
    }
    if (endStream) this.#finishTunnelWhenDone();
  }

  onTrailers(trailers: HeaderBlock): void {
    if (this.#finished) return;
    this.#touch();
    this.#onRequestEnd();
    if (this.#router !== null) this.writeTrailers(trailers);
    else if (!this.#staged) {
      this.#held ??= new ReplayBuffer();
      this.#held.addTrailers(trailers);
    }
  }

  /** BodyTarget: the request body, on its way to the router through the filters that change it. */
  writeData(chunk: Buffer, endStream: boolean): boolean {
    let bytes = chunk;
    for (let at = 0; at < this.#bodyFilters.length; at++) {
      bytes = this.#bodyFilters[at]!.onRequestData(bytes, endStream);
      if (this.#finished) return true;
    }
    this.#messages?.onRequestData(bytes);
    if (bytes.length === 0 && !endStream) return true;
    return this.#router!.writeData(bytes, endStream);
  }

  writeTrailers(trailers: HeaderBlock): void {
    if (!this.#finished) this.#router!.writeTrailers(trailers);
  }

  #onRequestEnd(): void {
    this.requestEnded = true;
    this.record.requestEndMs = this.timers.clock.nowMs();
    if (this.#requestTimer !== null) this.timers.cancel(this.#requestTimer);
  }

  onReset(reason: ResetReason, detail: string): void {
    if (this.#finished) return;
    const { record } = this;
    switch (reason) {
      case 'protocolError':
        // The codec has answered 400 where nothing had been sent.
        record.flags |= ResponseFlag.DPE;
        record.responseCodeDetails = detail;
        if (!this.#responseStarted) record.status = 400;
        break;
      case 'localReset':
        // What the upstream sent cannot be framed for this client.
        record.flags |= ResponseFlag.UPE;
        record.responseCodeDetails = detail;
        break;
      default:
        record.flags |= ResponseFlag.DC;
        record.responseCodeDetails = 'downstream_remote_disconnect';
        if (!this.#responseStarted) record.status = 0;
    }
    record.connectionTerminationDetails = detail;
    this.#leftByClient = true;
    this.#finish();
  }

  onDrain(): void {
    if (this.#finished) return;
    this.#router?.resumeResponse();
    this.#tunnel?.onDrain();
  }

  // --- from the router, or the tunnel ---------------------------------------------------------

  pauseRequest(): void {
    if (this.#pauses++ === 0) this.stream.pause();
  }

  resumeRequest(): void {
    if (--this.#pauses === 0) this.stream.resume();
  }

  onUpstreamInformational(head: ResponseHead): void {
    if (this.#finished) return;
    this.#touch();
    this.stream.writeInformational(head);
  }

  onUpstreamResponse(head: ResponseHead, endStream: boolean): void {
    if (this.#finished) return;
    this.#touch();
    if (this.record.responseCodeDetails === '') this.record.responseCodeDetails = 'via_upstream';
    if (this.record.grpc) {
      this.record.grpcStatus = parseGrpcStatus(headerValue(head.headers, 'grpc-status'));
    }
    this.#isTunnel = head.upgrade;
    // An inner tunnel answers before it has an upstream, and says itself when it has.
    if (this.#isConnectTunnel() && this.#tunnel === null) this.onTunnelOpen();
    this.#sendHead(head, endStream);
  }

  /** The upstream of a CONNECT tunnel stands. */
  onTunnelOpen(): void {
    this.#tunnelOpen = true;
    this.connection.manager.recordTunnelOpen(this.record);
  }

  onUpstreamData(chunk: Buffer, endStream: boolean): void {
    if (this.#finished) return;
    this.#touch();
    this.#messages?.onResponseData(chunk);
    let bytes = chunk;
    for (let at = this.#bodyFilters.length - 1; at >= 0; at--) {
      bytes = this.#bodyFilters[at]!.onResponseData(bytes, endStream);
    }
    if (bytes.length === 0 && !endStream) return;
    this.#sendData(bytes, endStream);
  }

  #sendData(bytes: Buffer, endStream: boolean): void {
    this.record.bytesSent += bytes.length;
    const writable = this.stream.writeData(bytes, endStream);
    if (endStream) this.#onResponseEnd();
    else if (!writable) this.#router?.pauseResponse();
  }

  onUpstreamTrailers(trailers: HeaderBlock): void {
    if (this.#finished) return;
    const { record } = this;
    record.responseTrailers = trailers;
    if (record.grpc && record.grpcStatus < 0) {
      record.grpcStatus = parseGrpcStatus(headerValue(trailers, 'grpc-status'));
    }
    for (let at = this.#bodyFilters.length - 1; at >= 0; at--) {
      const last = this.#bodyFilters[at]!.onResponseTrailers(trailers);
      if (last === null) continue;
      this.#sendData(this.#filteredEnd(last, at), true);
      return;
    }
    this.stream.writeTrailers(trailers);
    this.#onResponseEnd();
  }

  /** The last bytes that filter number `from` made are a body's end for those before it. */
  #filteredEnd(last: Buffer, from: number): Buffer {
    let bytes = last;
    for (let at = from - 1; at >= 0; at--) {
      bytes = this.#bodyFilters[at]!.onResponseData(bytes, true);
    }
    return bytes;
  }

  onLocalOutcome(outcome: LocalOutcome): void {
    this.answer(outcome);
  }

  // --- the way back ---------------------------------------------------------------------------

  /** Ends the request here: a local reply, or a cut where the response has begun. */
  answer(outcome: LocalOutcome): void {
    if (this.#finished) return;
    this.#staged = true;
    this.#waiting = false;
    const { record } = this;
    const reply = localReply(outcome);
    record.flags |= reply.flags;
    if (this.#responseStarted) {
      record.responseCodeDetails = lateResetDetails(outcome);
      this.stream.reset('localReset');
      this.#finish();
      return;
    }
    // A timeout here must not leave an upstream working for nobody.
    this.#router?.cancel();
    record.responseCodeDetails = reply.details;
    this.#sendReply(reply, outcome.kind === 'directResponse' || outcome.kind === 'redirect');
  }

  #sendReply(reply: LocalReply, ofRoute: boolean): void {
    const { record } = this;
    const body = typeof reply.body === 'string' ? Buffer.from(reply.body) : reply.body;
    const headers: HeaderBlock = [];
    const head = new ResponseHead(reply.status, headers);
    if (record.grpc) {
      // Trailers-Only (gRPC over HTTP/2, Responses): the status is in the only header block.
      head.status = 200;
      headers.push('content-type', 'application/grpc', 'grpc-status', String(reply.grpcStatus));
      if (body.length > 0) headers.push('grpc-message', encodeGrpcMessage(body.toString()));
      headers.push(...reply.headers);
      record.grpcStatus = reply.grpcStatus;
      this.#sendHead(head, true);
      return;
    }
    if (body.length > 0 || !hasNoBody(reply.status)) {
      headers.push('content-length', String(body.length));
      head.contentLength = body.length;
    }
    if (body.length > 0) headers.push('content-type', 'text/plain');
    headers.push(...reply.headers);
    if (ofRoute && this.route !== null) applyMutations(this.route.responseHeaders, headers, record);
    const bodiless = body.length === 0 || this.head.method === 'HEAD' || hasNoBody(reply.status);
    this.#sendHead(head, bodiless);
    if (bodiless || this.#finished) return;
    record.bytesSent += body.length;
    this.stream.writeData(body, true);
    this.#onResponseEnd();
  }

  #sendHead(head: ResponseHead, endStream: boolean): void {
    const { config, deps } = this.connection;
    const { record } = this;
    for (let at = this.#filters.length - 1; at >= 0; at--) this.#filters[at]!.onResponse(head);
    applyServerHeader(config, head.headers);
    if (!hasHeader(head.headers, 'date') && !head.upgrade) {
      setOwnHeader(head.headers, 'date', deps.date.value);
    }
    record.status = head.status;
    record.responseHeaders = head.headers;
    if (record.responseStartMs === 0) record.responseStartMs = this.timers.clock.nowMs();
    this.#responseStarted = true;
    this.stream.writeHead(head, endStream);
    // The codec has the last word: 2xx without a tunnel is a 502 to extended CONNECT (RFC 8441 §4).
    if (!this.#finished) record.status = head.status;
    if (endStream) this.#onResponseEnd();
  }

  #onResponseEnd(): void {
    if (this.#finished) return;
    this.#responseEnded = true;
    if (!this.#isTunnel || this.requestEnded) this.#finish();
  }

  #finishTunnelWhenDone(): void {
    if (this.#isTunnel && this.#responseEnded && this.requestEnded) this.#finish();
  }

  /** The tunnel's own end: bytes to the client and END_STREAM, or a cut. */
  writeTunnel(chunk: Buffer, endStream: boolean): boolean {
    if (this.#finished) return true;
    this.#touch();
    this.record.bytesSent += chunk.length;
    const writable = this.stream.writeData(chunk, endStream);
    if (endStream) this.#onResponseEnd();
    return writable;
  }

  resetTunnel(): void {
    if (this.#finished) return;
    this.stream.reset('localReset');
    this.#finish();
  }

  onTimer(id: number): void {
    const requestComplete = this.requestEnded;
    if (id === TimerId.Request) this.answer({ kind: 'requestTimeout' });
    else if (id === TimerId.Duration) this.answer({ kind: 'durationTimeout', requestComplete });
    else this.answer({ kind: 'streamIdleTimeout', requestComplete });
  }

  #finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    if (this.#idleTimer !== null) this.timers.cancel(this.#idleTimer);
    if (this.#requestTimer !== null) this.timers.cancel(this.#requestTimer);
    if (this.#durationTimer !== null) this.timers.cancel(this.#durationTimer);
    if (this.#router !== null) {
      this.#router.cancel();
      // A client that resets and asks again within one turn of the event loop could have any number of requests
      // started (CVE-2023-44487): the slot is free when what ends the upstream's part has left.
      if (this.#leftByClient) flushAtEndOfTurn(this);
      else this.stream.releaseSlot();
    }
    this.#tunnel?.onClose('the outer stream has ended');
    for (let at = 0; at < this.#filters.length; at++) this.#filters[at]!.destroy();
    this.#held = null;
    const { record } = this;
    record.endMs = this.timers.clock.nowMs();
    // As Envoy's log and Istio's metrics: a call that was told no status has the one that its HTTP status stands for.
    if (record.grpc && record.grpcStatus < 0 && record.status > 0) {
      record.grpcStatus = grpcStatusOfHttp(record.status);
    }
    this.#messages?.close();
    this.connection.manager.stats.record(record, this.#isTunnel);
    if (!this.unlogged) {
      const { manager } = this.connection;
      manager.recordEnd(record, this.#isConnectTunnel(), this.#tunnelOpen);
    }
    this.connection.onStreamEnd();
  }

  /** The turn in which the upstream's part ended is over. */
  flush(): void {
    this.stream.releaseSlot();
  }

  /** CONNECT that became a tunnel: opaque bytes, counted as a TCP connection. */
  #isConnectTunnel(): boolean {
    return this.#isTunnel && this.head.upgrade === 'connect';
  }
}

/** 1xx, 204 and 304 have no content (RFC 9110 §6.4.1). */
function hasNoBody(status: number): boolean {
  return status < 200 || status === 204 || status === 304;
}

const NO_FILTERS: HttpFilter[] = [];
const NO_BODY_FILTERS: BodyFilter[] = [];
