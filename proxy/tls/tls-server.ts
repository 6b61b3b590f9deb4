import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { describeTlsError, type HandshakeFailure } from './handshake-error.ts';
import {
  type PeerCertificate,
  readPeerCertificate,
  subjectAltNameProblem,
} from './peer-certificate.ts';
import type { DownstreamTlsConfig } from './tls-config.ts';
import type { TlsContext } from './tls-context.ts';

/** Told exactly once how a handshake ended. After `onHandshakeFailure` the socket is destroyed. */
export interface HandshakeListener {
  onHandshake(socket: TLSSocket, peer: PeerCertificate | null): void;
  onHandshakeFailure(failure: HandshakeFailure, detail: string): void;
}

/**
 * Lays the server side of TLS over an accepted socket. The caller bounds the time and calls `abort`.
 *
 * A TLSSocket of our own rather than `tls.Server`, which would hide which raw socket a session
 * belongs to; so the verdict on the client's chain is read here (`verifyError`), and whatever is not a
 * clean "no error" refuses the connection.
 */
export class ServerHandshake {
  readonly #raw: Socket;
  readonly #socket: TLSSocket;
  readonly #config: DownstreamTlsConfig;
  readonly #context: TlsContext;
  readonly #listener: HandshakeListener;
  #over = false;

  /**
   * `received`: the first bytes, which a peek has taken. `offeredProtocols`: ALPN of the ClientHello. Without a common one
   * the handshake goes on without ALPN, as in Envoy.
   */
  constructor(
    raw: Socket,
    received: Buffer,
    config: DownstreamTlsConfig,
    context: TlsContext,
    offeredProtocols: readonly string[],
    listener: HandshakeListener,
  ) {
    this.#raw = raw;
    this.#config = config;
    this.#context = context;
    this.#listener = listener;
    const alpn = config.alpnProtocols.filter((protocol) => offeredProtocols.includes(protocol));
    this.#socket = new TLSSocket(raw, {
      isServer: true,
      secureContext: context.secureContext,
      requestCert: context.verifiesPeer,
      // Makes OpenSSL end the handshake with `certificate_required` where the client shows none.
      rejectUnauthorized: config.requireClientCertificate,
      ...(alpn.length === 0 ? {} : { ALPNProtocols: alpn }),
      ...{ allowHalfOpen: true },
    });
    this.#socket.on('error', this.#onError);
    this.#socket.on('close', this.#onClose);
    // Half-open is for sessions: who ends before there is one has left.
    this.#socket.on('end', this.#onClose);
    this.#socket.on('secure', this.#onSecure);
    // The handshake reads through the handle; a paused stream holds the plain text back until attached.
    this.#socket.pause();
    giveBack(this.#socket, raw, received);
  }

  abort(failure: HandshakeFailure, detail: string): void {
    this.#fail(failure, detail);
  }

  readonly #onSecure = (): void => {
    if (this.#over) return;
    const leaf = this.#context.verifiesPeer ? this.#socket.getPeerX509Certificate() : undefined;
    if (leaf === undefined) {
      if (this.#config.requireClientCertificate) {
        this.#fail('no_cert', 'the client showed no certificate');
      } else this.#finish(null);
      return;
    }
    const verifyCode = chainVerdict(this.#socket);
    if (verifyCode !== '') {
      this.#fail('untrusted', `TLS error: certificate verify failed: ${verifyCode}`);
      return;
    }
    const read = readPeerCertificate(leaf);
    if ('problem' in read) {
      this.#fail('san', `the client's certificate: ${read.problem}`);
      return;
    }
    const problem = subjectAltNameProblem(read.certificate, this.#config.subjectAltNames);
    if (problem !== '') this.#fail('san', problem);
    else this.#finish(read.certificate);
  };

  readonly #onError = (error: NodeJS.ErrnoException): void => {
    const { failure, detail } = describeTlsError(error);
    this.#fail(failure, detail);
  };

  readonly #onClose = (): void => {
    this.#fail('closed', 'connection closed during the TLS handshake');
  };

  #finish(peer: PeerCertificate | null): void {
    this.#over = true;
    this.#socket.removeListener('close', this.#onClose);
    this.#socket.removeListener('end', this.#onClose);
    this.#socket.removeListener('secure', this.#onSecure);
    this.#listener.onHandshake(this.#socket, peer);
    // Whoever has taken the socket over listens for errors; nothing of the handshake stays with it.
    if (this.#socket.listenerCount('error') > 1)
      this.#socket.removeListener('error', this.#onError);
  }

  #fail(failure: HandshakeFailure, detail: string): void {
    if (this.#over) return;
    this.#over = true;
    // OpenSSL has queued its alert by now; a plain `destroy` of the raw socket at once would lose it.
    setImmediate(destroyBoth, this.#socket, this.#raw);
    this.#listener.onHandshakeFailure(failure, detail);
  }
}

/**
 * Gives a session the bytes that were read before it was there, in pieces. Node keeps what it reads for a session in a
 * buffer of 1 KiB, or of the size of the first bytes where those are more; one that is full gets another of 16 KiB beside
 * it, for as long as the connection lasts. A ClientHello with a post-quantum key share has 1.5 KiB: given as one, it cost
 * a third of what an idle connection holds.
 */
function giveBack(socket: TLSSocket, raw: Socket, bytes: Buffer): void {
  const handle = (socket as unknown as { _handle?: { receive?(bytes: Buffer): void } })._handle;
  if (typeof handle?.receive !== 'function') {
    raw.unshift(bytes); // read as a whole, once the session begins
    return;
  }
  for (let at = 0; at < bytes.length && !socket.destroyed; at += PIECE_BYTES) {
    handle.receive(bytes.subarray(at, at + PIECE_BYTES));
  }
}

/** Less than Node's first buffer. */
const PIECE_BYTES = 1000;

function destroyBoth(socket: TLSSocket, raw: Socket): void {
  socket.destroy();
  raw.destroy();
}

/** OpenSSL's verdict on the peer's chain: '' where it is good. Missing means bad. */
function chainVerdict(socket: TLSSocket): string {
  const handle = (
    socket as unknown as { _handle?: { verifyError?(): NodeJS.ErrnoException | null } }
  )._handle;
  if (typeof handle?.verifyError !== 'function') return 'NO_VERDICT';
  const error = handle.verifyError();
  if (error === null || error === undefined) return '';
  return error.code ?? error.message;
}
