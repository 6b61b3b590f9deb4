import { connect as connectTcp, isIP, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { DIRECT_READS, madeDirect } from '../tcp/direct-reads.ts';
import { formatAddress } from '../tcp/socket-address.ts';
import { DEFAULT_TRANSPORT_OPTIONS, SocketTransport } from '../tcp/socket-transport.ts';
import { Timer, type TimerLists, type TimerOwner } from '../tcp/timer-list.ts';
import { describeTlsError } from '../tls/handshake-error.ts';
import { startTlsClient, verifyServer } from '../tls/tls-client.ts';
import type { UpstreamTlsConfig } from '../tls/tls-config.ts';
import type { TlsContexts } from '../tls/tls-context.ts';
import type { DnsResolver } from './dns-resolver.ts';
import type { StreamFailure, UpstreamConnectionInfo } from './upstream.ts';

/** What every connection of the process is made with. */
export interface ConnectorDeps {
  readonly timers: TimerLists;
  readonly tlsContexts: TlsContexts;
  readonly dns: DnsResolver;
  /** Whether `ip:port` is a listener of this very proxy: connecting there would be a loop. */
  readonly isOwnAddress: (host: string, port: number) => boolean;
}

export interface ConnectTarget {
  /** IP literal or a name. */
  readonly host: string;
  readonly port: number;
  readonly tls: UpstreamTlsConfig | null;
  readonly connectTimeoutMs: number;
  /** One of each family at most; none = the kernel's choice. */
  readonly bindAddresses: readonly string[];
  /** 0 = off. */
  readonly tcpKeepaliveMs: number;
}

/** Facts about a connection; `reused` changes when it has carried its first request. */
export class ConnectedInfo implements UpstreamConnectionInfo {
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly mutualTls: boolean;
  readonly peerPrincipal: string;
  /** Agreed by ALPN, or ''. Decides the codec. */
  readonly alpnProtocol: string;
  reused = false;

  constructor(socket: Socket, mutualTls: boolean, peerPrincipal: string, alpnProtocol: string) {
    this.localAddress = formatAddress(socket.localAddress ?? '', socket.localPort ?? 0);
    this.remoteAddress = formatAddress(socket.remoteAddress ?? '', socket.remotePort ?? 0);
    this.mutualTls = mutualTls;
    this.peerPrincipal = peerPrincipal;
    this.alpnProtocol = alpnProtocol;
  }
}

/** Told exactly once, unless the attempt is cancelled first; never before `start` has returned. */
export interface ConnectListener {
  onConnected(transport: SocketTransport, info: ConnectedInfo): void;
  onConnectFailed(failure: StreamFailure, detail: string): void;
}

/**
 * One attempt to open a connection: name resolution where the target is a name, TCP, TLS, and the
 * check of the server's names, all within one connect timeout (RS-10).
 */
export class ConnectAttempt implements TimerOwner {
  readonly #deps: ConnectorDeps;
  readonly #target: ConnectTarget;
  readonly #listener: ConnectListener;
  readonly #timer: Timer = new Timer(this, 0);
  #socket: Socket | null = null;
  /** Addresses of a name that have not been tried. */
  #addressesLeft: readonly string[] = [];
  #over = false;

  constructor(deps: ConnectorDeps, target: ConnectTarget, listener: ConnectListener) {
    this.#deps = deps;
    this.#target = target;
    this.#listener = listener;
  }

  start(): void {
    this.#deps.timers.arm(this.#timer, this.#target.connectTimeoutMs);
    if (isIP(this.#target.host) !== 0) {
      this.#connect(this.#target.host);
      return;
    }
    this.#deps.dns.resolve(this.#target.host, 'AUTO').then(
      ({ addresses }) => {
        if (this.#over) return;
        if (addresses.length === 0) {
          this.#fail('connectionFailure', `DNS resolution failed for '${this.#target.host}'`);
        } else {
          this.#addressesLeft = addresses.slice(1);
          this.#connect(addresses[0]!);
        }
      },
      (error: Error) => this.#fail('connectionFailure', error.message),
    );
  }

  /** Gives up; nothing is called any more. */
  cancel(): void {
    this.#end();
    this.#socket?.destroy();
  }

  onTimer(): void {
    this.#fail('connectTimeout', 'connection timeout');
  }

  #connect(host: string): void {
    const { port, tls } = this.#target;
    if (this.#deps.isOwnAddress(host, port)) {
      this.#failLater(`${formatAddress(host, port)} is a listener of this proxy: refusing to loop`);
      return;
    }
    // A source address of the other family cannot work; the kernel chooses instead.
    const bound = this.#target.bindAddresses.find((own) => isIP(own) === isIP(host)) ?? '';
    let socket: Socket;
    try {
      socket = tls === null ? plainSocket(host, port, bound) : this.#tlsSocket(host, bound, tls);
    } catch (error) {
      this.#failLater((error as Error).message);
      return;
    }
    this.#socket = socket;
    socket.setNoDelay(true);
    if (this.#target.tcpKeepaliveMs > 0) socket.setKeepAlive(true, this.#target.tcpKeepaliveMs);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
    socket.on(tls === null ? 'connect' : 'secureConnect', this.#onOpen);
  }

  #tlsSocket(host: string, localAddress: string, tls: UpstreamTlsConfig): TLSSocket {
    const context = this.#deps.tlsContexts.upstream(tls);
    // No certificate or roots: never fall back to plain text (A4.1).
    if (context.kind === 'problem') throw new Error(`TLS error: ${context.detail}`);
    const { port } = this.#target;
    return startTlsClient({ host, port, localAddress }, tls, context.context);
  }

  readonly #onOpen = (): void => {
    if (this.#over) return;
    const socket = this.#socket!;
    const { tls } = this.#target;
    let info: ConnectedInfo;
    if (tls === null) info = new ConnectedInfo(socket, false, '', '');
    else {
      const secure = socket as TLSSocket;
      const verdict = verifyServer(secure, tls);
      if (verdict.kind === 'refused') {
        this.#fail('connectionFailure', verdict.detail);
        return;
      }
      const alpn = typeof secure.alpnProtocol === 'string' ? secure.alpnProtocol : '';
      const mutual = tls.certificateSecret !== '';
      info = new ConnectedInfo(socket, mutual, verdict.certificate.principal, alpn);
    }
    this.#end();
    this.#release(socket);
    this.#listener.onConnected(
      new SocketTransport(socket, this.#deps.timers, DEFAULT_TRANSPORT_OPTIONS),
      info,
    );
  };

  readonly #onError = (error: NodeJS.ErrnoException): void => {
    const [next] = this.#addressesLeft;
    if (next !== undefined && !this.#over && ERRNO_TEXT.has(error.code ?? '')) {
      // Not reached at all: the name's next address, within the same connect timeout (D30).
      this.#addressesLeft = this.#addressesLeft.slice(1);
      this.#socket!.removeListener('close', this.#onClose);
      this.#connect(next);
      return;
    }
    this.#fail('connectionFailure', connectFailureDetail(error));
  };

  readonly #onClose = (): void => {
    this.#fail('connectionFailure', 'connection closed before it was ready');
  };

  /** The listener is never called from within `start`: a pool is still busy there. */
  #failLater(detail: string): void {
    queueMicrotask(() => this.#fail('connectionFailure', detail));
  }

  #fail(failure: StreamFailure, detail: string): void {
    if (this.#over) return;
    this.#end();
    this.#socket?.destroy();
    this.#listener.onConnectFailed(failure, detail);
  }

  #end(): void {
    this.#over = true;
    this.#deps.timers.cancel(this.#timer);
  }

  #release(socket: Socket): void {
    socket.removeListener('close', this.#onClose);
    socket.removeListener('connect', this.#onOpen);
    socket.removeListener('secureConnect', this.#onOpen);
    // After the transport's own listener stands; there is never a tick without one.
    queueMicrotask(() => socket.removeListener('error', this.#onError));
  }
}

function plainSocket(host: string, port: number, localAddress: string): Socket {
  return madeDirect(
    connectTcp({
      host,
      port,
      allowHalfOpen: true,
      onread: DIRECT_READS,
      ...(localAddress === '' ? {} : { localAddress }),
    }),
  );
}

/** In Envoy's words, which people search their logs for. */
function connectFailureDetail(error: NodeJS.ErrnoException): string {
  const code = error.code ?? '';
  const text = ERRNO_TEXT.get(code);
  if (text !== undefined) return `delayed connect error: ${text}`;
  return describeTlsError(error).detail;
}

const ERRNO_TEXT: ReadonlyMap<string, string> = new Map([
  ['ECONNREFUSED', 'Connection refused'],
  ['ECONNRESET', 'Connection reset by peer'],
  ['EHOSTUNREACH', 'No route to host'],
  ['ENETUNREACH', 'Network is unreachable'],
  ['ETIMEDOUT', 'Connection timed out'],
  ['EADDRNOTAVAIL', 'Cannot assign requested address'],
  ['EADDRINUSE', 'Address already in use'],
  ['EACCES', 'Permission denied'],
  ['EPERM', 'Operation not permitted'],
  ['EINVAL', 'Invalid argument'],
  ['EMFILE', 'Too many open files'],
  ['ENFILE', 'Too many open files in system'],
  ['EPIPE', 'Broken pipe'],
]);
