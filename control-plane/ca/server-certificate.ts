import { generateKeyPairSync } from 'node:crypto';
import { isIP } from 'node:net';
import { experimental, type ServerCredentials } from '@grpc/grpc-js';
import { spiffeId } from '../auth/spiffe-id.ts';
import { CONTROL_PLANE, SYSTEM_NAMESPACE } from '../kubernetes/own-objects.ts';
import type { Authority } from './authority.ts';

export interface ServerCertificateOptions {
  /** Asked at each renewal, so that a rotated authority takes over. */
  readonly authority: () => Authority;
  readonly trustDomain: string;
  /** Host names and IP addresses that clients may use beside `SERVER_NAMES`. */
  readonly names: readonly string[];
  /** Milliseconds. */
  readonly ttlMs: number;
  readonly schedule: (delayMs: number, callback: () => void) => () => void;
  readonly log: {
    info(fields: object, message: string): void;
    error(fields: object, message: string): void;
  };
}

/** Names under which every control plane answers; Istio's among them, so that its agents accept it. */
const SERVER_NAMES: readonly string[] = [
  'localhost',
  'weft',
  `weft.${SYSTEM_NAMESPACE}.svc`,
  CONTROL_PLANE,
  `${CONTROL_PLANE}.${SYSTEM_NAMESPACE}`,
  `${CONTROL_PLANE}.${SYSTEM_NAMESPACE}.svc`,
  `${CONTROL_PLANE}.${SYSTEM_NAMESPACE}.svc.cluster.local`,
  'istiod.istio-system.svc',
  'istiod.istio-system.svc.cluster.local',
  '127.0.0.1',
  '::1',
];

/** What a TLS server shows: PEM, the leaf first. */
export interface KeyPair {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

/**
 * The certificate of the control plane's own TLS ports, from its own authority: a new key and certificate at half of
 * the life of the old one, taken up by the next handshake, no connection dropped (SC-05). Clients of gRPC may show a
 * certificate of the mesh and need not, because the first thing they do here is to ask for one.
 */
export class ServerCertificate {
  readonly credentials: ServerCredentials;
  readonly #options: ServerCertificateOptions;
  #cancel: (() => void) | null = null;
  #isClosed = false;
  #roots: experimental.CaCertificateUpdate | null = null;
  #identity: experimental.IdentityCertificateUpdate | null = null;
  readonly #rootListeners = new Set<experimental.CaCertificateUpdateListener>();
  readonly #identityListeners = new Set<experimental.IdentityCertificateUpdateListener>();
  readonly #keyPairListeners = new Set<(keyPair: KeyPair) => void>();
  #keyPair: KeyPair | null = null;

  private constructor(options: ServerCertificateOptions) {
    this.#options = options;
    const provider = this.#provider();
    this.credentials = experimental.createCertificateProviderServerCredentials(
      provider,
      provider,
      false,
    );
  }

  static async open(options: ServerCertificateOptions): Promise<ServerCertificate> {
    const certificate = new ServerCertificate(options);
    await certificate.renew();
    return certificate;
  }

  /** At once, e.g. after a change of the authority or its roots. */
  async renew(): Promise<void> {
    const { authority, trustDomain, names, ttlMs } = this.#options;
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const all = [...new Set([...SERVER_NAMES, ...names])];
    const current = authority();
    const { chainPem } = await current.issue({
      publicKey,
      uris: [
        spiffeId({
          trustDomain,
          namespace: 'istio-system',
          serviceAccount: 'istiod-service-account',
        }),
      ],
      dnsNames: all.filter((name) => isIP(name) === 0),
      ipAddresses: all.filter((name) => isIP(name) !== 0),
      ttlMs,
    });
    if (this.#isClosed) return;
    const privateKeyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    this.#keyPair = { certificatePem: chainPem, privateKeyPem };
    this.#roots = { caCertificate: Buffer.from(current.rootsPem) };
    this.#identity = {
      certificate: Buffer.from(chainPem),
      privateKey: Buffer.from(privateKeyPem),
    };
    for (const listener of this.#keyPairListeners) listener(this.#keyPair);
    for (const listener of this.#rootListeners) listener(this.#roots);
    for (const listener of this.#identityListeners) listener(this.#identity);
    this.#schedule(ttlMs / 2);
  }

  /** Calls back with the pair in use, before it returns, and with each one that follows. Returns the way to stop. */
  follow(listener: (keyPair: KeyPair) => void): () => void {
    this.#keyPairListeners.add(listener);
    if (this.#keyPair !== null) listener(this.#keyPair);
    return () => this.#keyPairListeners.delete(listener);
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel?.();
  }

  /**
   * What gRPC asks for the contexts of new handshakes. It begins to listen before it is ready to hear, therefore the
   * first answer comes a moment later.
   */
  #provider(): experimental.CertificateProvider {
    return {
      addCaCertificateListener: (listener) => {
        this.#rootListeners.add(listener);
        queueMicrotask(() => listener(this.#roots));
      },
      removeCaCertificateListener: (listener) => {
        this.#rootListeners.delete(listener);
      },
      addIdentityCertificateListener: (listener) => {
        this.#identityListeners.add(listener);
        queueMicrotask(() => listener(this.#identity));
      },
      removeIdentityCertificateListener: (listener) => {
        this.#identityListeners.delete(listener);
      },
    };
  }

  #schedule(delayMs: number): void {
    this.#cancel?.();
    this.#cancel = this.#options.schedule(Math.min(delayMs, TIMER_MS_MAX), () => {
      this.renew().then(
        () => this.#options.log.info({}, 'server certificate renewed'),
        (error: unknown) => {
          this.#options.log.error({ err: error }, 'the server certificate could not be renewed');
          this.#schedule(RETRY_MS);
        },
      );
    });
  }
}

const RETRY_MS = 30_000;
/** Node's timers overflow beyond. */
const TIMER_MS_MAX = 2 ** 31 - 1;
