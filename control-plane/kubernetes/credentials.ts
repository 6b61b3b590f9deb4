import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { ClusterConfig, Secret } from './cluster-config.ts';

/** What the next request is made with. */
export interface RequestCredentials {
  readonly agent: HttpAgent | HttpsAgent;
  /** Bearer token, or ''. */
  readonly token: string;
}

/** Milliseconds after which files are read again: the kubelet replaces a token well before it ends. */
const REREAD_MS = 10_000;
/** Connections to the API server at once; watches hold one each. */
const SOCKETS_MAX = 64;
const SECRET_BYTES_MAX = 1024 * 1024;

/**
 * Token, certificate and authorities, read again as their files change. Connections are kept alive; new TLS material
 * gets new connections, and those in use end by themselves.
 */
export class Credentials {
  readonly #config: ClusterConfig;
  readonly #nowMs: () => number;
  #readAtMs = 0;
  #token = '';
  #digest = '';
  #agent: HttpAgent | HttpsAgent | null = null;

  /** `nowMs`: monotonic, above 0. */
  constructor(config: ClusterConfig, nowMs: () => number) {
    this.#config = config;
    this.#nowMs = nowMs;
  }

  /** Throws with a message for people where a file cannot be read and never could. */
  current(): RequestCredentials {
    const nowMs = this.#nowMs();
    if (this.#agent === null || nowMs - this.#readAtMs >= REREAD_MS) {
      try {
        this.#read();
        this.#readAtMs = nowMs;
      } catch (error) {
        // In the middle of a rotation the former material is the best there is.
        if (this.#agent === null) throw error;
      }
    }
    return { agent: this.#agent!, token: this.#token };
  }

  /** The server refused them: the next request reads the files again. True where that gave another token. */
  refresh(): boolean {
    const before = this.#token;
    this.#readAtMs = Number.NEGATIVE_INFINITY;
    return this.current().token !== before;
  }

  close(): void {
    this.#agent?.destroy();
    this.#agent = null;
  }

  #read(): void {
    const config = this.#config;
    this.#token = read(config.token).trim();
    const options = { keepAlive: true, keepAliveMsecs: 30_000, maxSockets: SOCKETS_MAX };
    if (config.server.protocol === 'http:') {
      this.#agent ??= new HttpAgent(options);
      return;
    }
    const [ca, cert, key] = [config.ca, config.clientCertificate, config.clientKey].map(read);
    const digest = createHash('sha256')
      .update(JSON.stringify([ca, cert, key]))
      .digest('base64');
    if (this.#agent !== null && digest === this.#digest) return;
    this.#digest = digest;
    this.#agent = new HttpsAgent({
      ...options,
      minVersion: 'TLSv1.2',
      rejectUnauthorized: !config.insecureSkipTlsVerify,
      ...(ca !== '' && { ca: ca! }),
      ...(cert !== '' && { cert: cert!, key: key! }),
      ...(config.serverName !== '' && { servername: config.serverName }),
    });
  }
}

function read(secret: Secret): string {
  if (secret.kind === 'value') return secret.value;
  try {
    const text = readFileSync(secret.file, 'utf8');
    if (text.length > SECRET_BYTES_MAX) throw new Error('it is larger than 1 MiB');
    return text;
  } catch (error) {
    throw new Error(`${secret.file} cannot be read: ${(error as Error).message}`);
  }
}
