import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { RequestRecord, ResponseFlag } from '../observe/request-record.ts';
import { formatAddress, unmapped } from '../tcp/socket-address.ts';
import { SocketTransport, type TransportReceiver } from '../tcp/socket-transport.ts';
import { Timer, type TimerOwner } from '../tcp/timer-list.ts';
import type { HandshakeFailure } from '../tls/handshake-error.ts';
import type { DownstreamConnectionInfo, PeerCertificate } from '../tls/peer-certificate.ts';
import { type HandshakeListener, ServerHandshake } from '../tls/tls-server.ts';
import type { CompiledListener } from './compiled-listener.ts';
import { ConnectionInspector, type Inspection, PLAIN } from './connection-inspector.ts';
import type { FilterChainConfig } from './listener-config.ts';
import type { LiveListener } from './live-listener.ts';
import type { NetworkConnection } from './network-filter.ts';
import type { OriginalDestination } from './original-destination.ts';

/**
 * One accepted connection on its way to the filter that serves it, and the listener's hand on it
 * after that.
 *
 * ```
 * inspect ─▶ match filter chain ─┬─▶ plain text ─────────────▶ filter
 *  │ timeout, malformed          ├─▶ TLS handshake ─▶ verified ▶ filter
 *  ▼                             │     └▶ failed: closed
 * closed                         └─▶ none (NR), or TLS wanted and not spoken (SC-02): closed
 * ```
 */
export class AcceptedConnection implements TransportReceiver, HandshakeListener, TimerOwner {
  readonly #listener: LiveListener;
  readonly #compiled: CompiledListener;
  readonly #originalDestination: OriginalDestination | null;
  readonly #socket: Socket;
  /** Of the inspection and the handshake: most connections have neither. */
  #timer: Timer | null = null;
  readonly #remoteHost: string;
  readonly #remoteAddress: string;
  readonly #localHost: string;
  readonly #localPort: number;
  #transport: SocketTransport;
  #inspector: ConnectionInspector | null = null;
  #inspection: Inspection = PLAIN;
  #handshake: ServerHandshake | null = null;
  #chain: FilterChainConfig | null = null;
  #localPrincipal = '';
  #connection: NetworkConnection | null = null;
  #draining = false;
  #over = false;

  /** `compiled`: of the listener that owns the original destination, which may be another one. */
  constructor(
    listener: LiveListener,
    compiled: CompiledListener,
    socket: Socket,
    originalDestination: OriginalDestination | null,
  ) {
    this.#listener = listener;
    this.#compiled = compiled;
    this.#socket = socket;
    this.#originalDestination = originalDestination;
    // The addresses are gone from a socket that is closed; log lines come later.
    this.#remoteHost = unmapped(socket.remoteAddress ?? '');
    this.#remoteAddress = formatAddress(this.#remoteHost, socket.remotePort ?? 0);
    this.#localHost = originalDestination?.host ?? unmapped(socket.localAddress ?? '');
    this.#localPort = originalDestination?.port ?? socket.localPort ?? 0;
    this.#transport = this.#newTransport(socket);
  }

  start(): void {
    const compiled = this.#compiled;
    if (!compiled.inspects || !compiled.matcher.asksPeer(this.#localHost, this.#localPort)) {
      this.#pickChain(PLAIN);
      return;
    }
    this.#inspector = new ConnectionInspector(compiled.inspectsHttp);
    this.#armTimer(compiled.inspectTimeoutMs);
    this.#transport.attach(this);
  }

  /** Tells the filter to finish; a connection that has none yet is told when it gets one. */
  drain(): void {
    this.#draining = true;
    this.#connection?.drain();
  }

  destroy(): void {
    if (this.#over) return;
    this.#transport.destroy();
    this.#socket.destroy();
    if (this.#connection === null) this.#end();
  }

  // --- from the transport ---------------------------------------------------------------------

  receive(bytes: Buffer): void {
    if (this.#connection !== null) {
      this.#connection.receive(bytes);
      return;
    }
    const inspector = this.#inspector;
    if (inspector === null) return; // refused: what still arrives is dropped
    const result = inspector.inspect(bytes);
    switch (result.kind) {
      case 'needMore':
        return;
      case 'decided':
        this.#pickChain(result.inspection);
        return;
      case 'malformed':
        this.#listener.stats.countHandshakeFailure('protocol');
        this.#refuse(ResponseFlag.DPE, result.detail);
        return;
    }
  }

  receiveEnd(): void {
    if (this.#connection !== null) {
      this.#connection.receiveEnd();
      return;
    }
    const inspector = this.#inspector;
    if (inspector === null) return;
    // Half a request line and a FIN: nothing more will come to judge by.
    if (inspector.bytes > 0 && this.#compiled.inspectsHttp) {
      this.#pickChain(PLAIN);
      (this.#connection as NetworkConnection | null)?.receiveEnd();
    } else this.#refuse(ResponseFlag.DC, 'connection closed before its protocol was clear');
  }

  onTransportDrain(): void {
    this.#connection?.onTransportDrain();
  }

  close(detail: string): void {
    this.#connection?.close(detail);
    this.#end();
  }

  onTimer(): void {
    if (this.#handshake !== null) {
      this.#handshake.abort('timeout', 'TLS handshake timeout');
      return;
    }
    const { config } = this.#compiled;
    this.#listener.stats.inspectTimeouts.value++;
    const bytes = this.#inspector?.bytes ?? 0;
    if ((config.inspectTls || config.inspectHttp) && config.continueOnInspectTimeout) {
      this.#pickChain(PLAIN);
    } else this.#refuse(0, `protocol not clear in time, after ${bytes} bytes`);
  }

  // --- filter chain ---------------------------------------------------------------------------

  #pickChain(inspection: Inspection): void {
    const { stats } = this.#listener;
    this.#stopTimer();
    this.#inspection = inspection;
    const chain = this.#compiled.matcher.match({
      destinationAddress: this.#localHost,
      destinationPort: this.#localPort,
      sourceAddress: this.#remoteHost,
      inspection,
    });
    if (chain === null) {
      stats.noFilterChainMatch.value++;
      const { matcher } = this.#compiled;
      const plain = inspection.transportProtocol === 'raw_buffer';
      if (plain && matcher.takesOnlyTls(this.#localHost, this.#localPort)) {
        this.#refusePlainText();
      } else this.#refuse(ResponseFlag.NR, 'filter chain not found');
      return;
    }
    this.#chain = chain;
    if (chain.tls === null) this.#serve(null);
    else if (inspection.transportProtocol === 'tls') this.#startHandshake(chain, chain.tls);
    else this.#refusePlainText();
  }

  #startHandshake(chain: FilterChainConfig, tls: NonNullable<FilterChainConfig['tls']>): void {
    const { deps } = this.#listener;
    const context = deps.tlsContexts.downstream(tls);
    if (context.kind === 'problem') {
      this.onHandshakeFailure('no_secret', context.detail);
      return;
    }
    this.#localPrincipal = context.context.localPrincipal;
    const peeked = this.#inspector!.take();
    this.#inspector = null;
    const raw = this.#transport.detach();
    this.#armTimer(chain.transportConnectTimeoutMs);
    this.#handshake = new ServerHandshake(
      raw,
      peeked,
      tls,
      context.context,
      this.#inspection.applicationProtocols,
      this,
    );
  }

  onHandshake(socket: TLSSocket, peer: PeerCertificate | null): void {
    const { stats } = this.#listener;
    this.#stopTimer();
    stats.handshakes.value++;
    this.#handshake = null;
    this.#transport = this.#newTransport(socket);
    this.#serve({ socket, peer });
  }

  onHandshakeFailure(failure: HandshakeFailure, detail: string): void {
    const { stats } = this.#listener;
    this.#stopTimer();
    stats.countHandshakeFailure(failure);
    this.#logRefusal(0, detail, failure === 'no_secret' || failure === 'san' ? 'warn' : 'info');
    // A handshake that has begun closes its own sockets, after its alert has left.
    if (this.#handshake === null) this.#transport.reset();
    else this.#end();
    this.#handshake = null;
  }

  #serve(secure: { socket: TLSSocket; peer: PeerCertificate | null } | null): void {
    const compiled = this.#compiled;
    const chain = this.#chain!;
    const info = this.#connectionInfo(secure);
    const { filter } = chain;
    if (filter.kind === 'httpConnectionManager') {
      this.#transport.delayedCloseMs = filter.config.delayedCloseTimeoutMs;
    }
    const peeked = this.#inspector?.take() ?? null;
    this.#inspector = null;
    this.#connection = compiled
      .filter(chain)
      .accept(this.#transport, info, this.#originalDestination?.text ?? '');
    if (this.#draining) this.#connection.drain();
    this.#transport.attach(this, peeked);
  }

  #connectionInfo(
    secure: { socket: TLSSocket; peer: PeerCertificate | null } | null,
  ): DownstreamConnectionInfo {
    const alpn = secure?.socket.alpnProtocol;
    const peer = secure?.peer ?? null;
    return {
      localAddress: formatAddress(this.#localHost, this.#localPort),
      remoteAddress: this.#remoteAddress,
      requestedServerName: this.#inspection.serverName,
      peerPrincipal: peer?.principal ?? '',
      localPrincipal: this.#localPrincipal,
      mutualTls: peer !== null,
      peerCertificate: peer,
      alpnProtocol: typeof alpn === 'string' ? alpn : '',
      tls: secure !== null,
    };
  }

  // --- the end --------------------------------------------------------------------------------

  /** SC-02, A1.1: no answer, a log line with the source, a counter. */
  #refusePlainText(): void {
    this.#listener.stats.tlsRequired.value++;
    this.#refuse(0, 'plain text to a port that takes TLS only', 'warn');
  }

  #refuse(flag: number, detail: string, level: 'info' | 'warn' = 'info'): void {
    this.#inspector = null;
    this.#logRefusal(flag, detail, level);
    this.#transport.reset();
  }

  #logRefusal(flag: number, detail: string, level: 'info' | 'warn'): void {
    const { deps } = this.#listener;
    const { config } = this.#compiled;
    this.#listener.logRefusal(level, this.#remoteAddress, this.#localPort, detail);
    const record = new RequestRecord(
      deps.wallClockMs(),
      deps.timers.clock.nowMs(),
      this.#connectionInfo(null),
    );
    record.flags = flag;
    record.connectionTerminationDetails = detail;
    record.endMs = record.startMs;
    for (const log of config.accessLogs) log.log(record);
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#stopTimer();
    this.#listener.onConnectionEnd(this);
  }

  #armTimer(ms: number): void {
    this.#timer ??= new Timer(this, 0);
    this.#listener.deps.timers.arm(this.#timer, ms);
  }

  /** It is not needed again once the connection is served. */
  #stopTimer(): void {
    if (this.#timer === null) return;
    this.#listener.deps.timers.cancel(this.#timer);
    this.#timer = null;
  }

  #newTransport(socket: Socket): SocketTransport {
    return new SocketTransport(socket, this.#listener.deps.timers, {
      highWatermarkBytes: this.#compiled.config.bufferBytesMax,
      delayedCloseMs: DELAYED_CLOSE_MS,
    });
  }
}

/** Envoy's `delayed_close_timeout`. */
const DELAYED_CLOSE_MS = 1_000;
