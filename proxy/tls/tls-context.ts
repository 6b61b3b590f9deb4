import { constants } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { CertificateSecret, SecretStore, TlsConfig, ValidationSecret } from './tls-config.ts';

/** Key material and protocol settings ready for a handshake, or why there is none. */
export type TlsContextResult =
  | { readonly kind: 'context'; readonly context: TlsContext }
  | { readonly kind: 'problem'; readonly detail: string };

export interface TlsContext {
  readonly secureContext: SecureContext;
  /** SPIFFE id presented with it, or ''. */
  readonly localPrincipal: string;
  /** Peers are verified against roots of ours or the system's. */
  readonly verifiesPeer: boolean;
}

interface Cached {
  readonly certificate: CertificateSecret | undefined;
  readonly validation: ValidationSecret | undefined;
  readonly result: TlsContextResult;
}

/**
 * One OpenSSL context for all configurations that agree in secrets, versions and ciphers: a mesh of a
 * thousand services has a thousand upstream configurations and one context. It is made again at
 * the first handshake after a secret has changed (SC-05).
 */
export class TlsContexts {
  readonly #secrets: SecretStore;
  readonly #keys = new WeakMap<TlsConfig, string>();
  readonly #upstream = new Map<string, Cached>();
  readonly #downstream = new Map<string, Cached>();

  constructor(secrets: SecretStore) {
    this.#secrets = secrets;
  }

  upstream(config: TlsConfig): TlsContextResult {
    return this.#context(this.#upstream, config, true);
  }

  downstream(config: TlsConfig): TlsContextResult {
    return this.#context(this.#downstream, config, false);
  }

  #context(cache: Map<string, Cached>, config: TlsConfig, client: boolean): TlsContextResult {
    let key = this.#keys.get(config);
    if (key === undefined) {
      key = contextKey(config);
      this.#keys.set(config, key);
    }
    const certificate = this.#secrets.certificate(config.certificateSecret);
    const validation = this.#secrets.validation(config.validationSecret);
    const cached = cache.get(key);
    if (
      cached !== undefined &&
      cached.certificate === certificate &&
      cached.validation === validation
    ) {
      return cached.result;
    }
    const result = buildContext(config, certificate, validation, client);
    // Secrets that were removed for good leave their entry behind: names come from configuration.
    if (cache.size >= CONTEXTS_MAX) cache.clear();
    cache.set(key, { certificate, validation, result });
    return result;
  }
}

const CONTEXTS_MAX = 1_024;

function contextKey(config: TlsConfig): string {
  return JSON.stringify([
    config.certificateSecret,
    config.validationSecret,
    config.minVersion,
    config.maxVersion,
    config.ciphers,
  ]);
}

function buildContext(
  config: TlsConfig,
  certificate: CertificateSecret | undefined,
  validation: ValidationSecret | undefined,
  client: boolean,
): TlsContextResult {
  if (config.certificateSecret !== '' && certificate === undefined) {
    return problem(`certificate '${config.certificateSecret}' has not arrived yet`);
  }
  if (config.validationSecret !== '' && validation === undefined) {
    return problem(`trusted roots '${config.validationSecret}' have not arrived yet`);
  }
  if (!client && certificate === undefined) return problem('a TLS listener needs a certificate');
  const options: SecureContextOptions = {
    minVersion: config.minVersion,
    maxVersion: config.maxVersion,
    // Tickets would let a session outlive the policy and roots it was verified under (A4.2);
    // renegotiation would change the peer in the middle of a connection.
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
    honorCipherOrder: !client,
  };
  if (certificate !== undefined) {
    options.cert = certificate.certificateChainPem;
    options.key = certificate.privateKeyPem;
  }
  if (validation !== undefined) options.ca = validation.trustedCaPem;
  if (config.ciphers !== '') options.ciphers = `${TLS13_CIPHERS}:${config.ciphers}`;
  try {
    return {
      kind: 'context',
      context: {
        secureContext: createSecureContext(options),
        localPrincipal: certificate?.principal ?? '',
        verifiesPeer: client || validation !== undefined,
      },
    };
  } catch (error) {
    return problem(describeContextError(error));
  }
}

/** OpenSSL's own words for what an operator meets, e.g. a key of another certificate. */
function describeContextError(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH') {
    return 'the private key does not match the certificate';
  }
  if (code === 'ERR_SSL_NO_CIPHER_MATCH') return `no cipher suite matches: ${message}`;
  return message;
}

/** The suites of TLS 1.3 are not part of a TLS 1.2 cipher list, but Node takes both in one string. */
const TLS13_CIPHERS = 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256';

function problem(detail: string): TlsContextResult {
  return { kind: 'problem', detail };
}
