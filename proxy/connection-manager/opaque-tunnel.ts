import type { Transport } from '../http/transport.ts';
import { ResponseFlag } from '../observe/request-record.ts';
import { pickWeightedCluster } from '../router/weighted-cluster.ts';
import type {
  Cluster,
  Endpoint,
  PendingStream,
  PickContext,
  StreamFailure,
  UpstreamConnectionInfo,
  UpstreamTunnelSink,
} from '../upstream/upstream.ts';
import type { ActiveStream } from './active-stream.ts';

/** Bytes held while the upstream is being connected; the stream is paused, so this is what was in hand. */
const HELD_BYTES_MAX = 1024 * 1024;

/**
 * A CONNECT tunnel whose content is nobody's business: bytes to and from one upstream connection,
 * to the cluster of the authority's virtual host or, for a host that the mesh does not know, to the
 * name itself through `PassthroughCluster`.
 */
export class OpaqueTunnel implements UpstreamTunnelSink, PickContext {
  readonly #outer: ActiveStream;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #requestEnded = false;
  #responseEnded = false;
  #pending: PendingStream | null = null;
  #transport: Transport | null = null;
  #requestPaused = false;
  #done = false;

  // PickContext
  readonly tried: readonly Endpoint[] = [];
  readonly repicksMax = 0;
  readonly endpointOnly = '';
  readonly originalDestination: string;

  constructor(outer: ActiveStream) {
    this.#outer = outer;
    this.originalDestination = outer.head.authority;
  }

  connect(): void {
    const { record } = this.#outer;
    const cluster = this.#cluster();
    if (cluster === undefined) {
      this.#fail(ResponseFlag.NR, 'route_not_found');
      return;
    }
    record.upstreamCluster = cluster.name;
    record.destinationService = cluster.service;
    const endpoint = cluster.pickEndpoint(this);
    if (endpoint === null) {
      this.#fail(ResponseFlag.UH, 'no_healthy_upstream');
      return;
    }
    record.upstreamHost = endpoint.address;
    if (endpoint.workload !== null) record.peer = endpoint.workload;
    if (this.#outer.connection.deps.isOwnListener(endpoint.address)) {
      this.#fail(ResponseFlag.UF, 'loop_detected');
      return;
    }
    record.attempts++;
    this.#pause();
    const pending = cluster.connect(endpoint, this);
    if (this.#transport === null && !this.#done) this.#pending = pending;
  }

  /** Where the virtual host of the authority leads by default, else straight to the name. */
  #cluster(): Cluster | undefined {
    const { table, routeAuthority, random, connection } = this.#outer;
    const { clusters } = connection.deps;
    const virtualHost = table?.findVirtualHost(routeAuthority) ?? null;
    for (const { action } of virtualHost?.config.routes ?? []) {
      if (action.kind !== 'route' || action.clusters.length === 0) continue;
      const chosen = pickWeightedCluster(action.clusters, action.weightTotal, random());
      return clusters.get(chosen.name);
    }
    return clusters.get('PassthroughCluster');
  }

  /** Bytes from the client. */
  write(chunk: Buffer, endStream: boolean): void {
    if (this.#done) return;
    this.#requestEnded ||= endStream;
    const transport = this.#transport;
    if (transport === null) {
      if (chunk.length > 0) this.#held.push(chunk);
      this.#heldBytes += chunk.length;
      if (this.#heldBytes > HELD_BYTES_MAX) this.#fail(0, 'tunnel_buffer_overflow');
      return;
    }
    if (chunk.length > 0 && !transport.write(chunk) && !endStream) this.#pause();
    if (endStream) transport.end();
  }

  /** The client can take more. */
  onDownstreamDrain(): void {
    this.#transport?.resumeReading();
  }

  /** The outer stream is over: both halves have ended, or it is cut and so is the connection (I4). */
  close(): void {
    if (this.#done) return;
    this.#done = true;
    this.#pending?.cancel();
    // What was written last, and the FIN behind it, may still be on their way.
    if (this.#requestEnded && this.#responseEnded) this.#transport?.closeAfterFlush();
    else this.#transport?.abort();
    this.#held = [];
  }

  onReady(transport: Transport, connection: UpstreamConnectionInfo): void {
    if (this.#done) {
      transport.destroy();
      return;
    }
    const { record } = this.#outer;
    this.#pending = null;
    this.#transport = transport;
    record.upstreamLocalAddress = connection.localAddress;
    record.upstreamMutualTls = connection.mutualTls;
    record.upstreamPeerPrincipal = connection.peerPrincipal;
    this.#outer.onTunnelOpen();
    let writable = true;
    for (const chunk of this.#held) writable = transport.write(chunk);
    this.#held = [];
    if (this.#requestEnded) transport.end();
    if (writable) this.#resume();
  }

  onFailure(failure: StreamFailure, detail: string): void {
    if (this.#done) return;
    this.#pending = null;
    this.#outer.record.upstreamTransportFailureReason = detail;
    const overflow = failure === 'overflow';
    this.#fail(overflow ? ResponseFlag.UO : ResponseFlag.UF, 'upstream_connect_failed');
  }

  onData(bytes: Buffer): void {
    if (!this.#done && !this.#outer.writeTunnel(bytes, false)) this.#transport?.pauseReading();
  }

  onEnd(): void {
    if (this.#done) return;
    this.#responseEnded = true;
    this.#outer.writeTunnel(NO_BYTES, true);
  }

  onClose(detail: string): void {
    if (this.#done) return;
    this.#done = true;
    this.#outer.record.connectionTerminationDetails = detail;
    this.#outer.resetTunnel();
  }

  onDrain(): void {
    this.#resume();
  }

  /** The client has its 200: all that is left to tell it is a cut. */
  #fail(flag: number, details: string): void {
    this.#outer.record.flags |= flag;
    this.#outer.record.responseCodeDetails = details;
    this.close();
    this.#outer.resetTunnel();
  }

  #pause(): void {
    if (this.#requestPaused) return;
    this.#requestPaused = true;
    this.#outer.pauseRequest();
  }

  #resume(): void {
    if (!this.#requestPaused) return;
    this.#requestPaused = false;
    this.#outer.resumeRequest();
  }
}

const NO_BYTES = Buffer.alloc(0);
