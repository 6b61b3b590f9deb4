import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { WorkloadIdentity } from '../identity/workload-identity.ts';
import type { Logger } from '../observe/logger.ts';
import type { StatsRegistry } from '../observe/stats.ts';
import { formatAddress } from '../tcp/socket-address.ts';
import type { InMemorySecretStore } from '../tls/secret-store.ts';
import type { ControlPlaneAddress } from '../xds/bootstrap/control-plane-address.ts';
import type { WeftSettings } from '../xds/bootstrap/settings.ts';
import { after } from './timer.ts';

export interface MeshCredentialOptions {
  readonly address: ControlPlaneAddress;
  readonly settings: WeftSettings;
  readonly secrets: InMemorySecretStore;
  readonly stats: StatsRegistry;
  readonly wallClockMs: () => number;
  readonly random: () => number;
  readonly log: Logger;
  /** A certificate was issued to this SPIFFE id. */
  readonly onPrincipal: (principal: string) => void;
}

/** By what the proxy shows the control plane who it is, and by what it knows the control plane. */
export class MeshCredential {
  readonly #options: MeshCredentialOptions;
  #identity: WorkloadIdentity | null = null;
  #rootFilePem = '';

  constructor(options: MeshCredentialOptions) {
    this.#options = options;
  }

  /** Asks for the first certificate and keeps it fresh; nothing where the control plane has no TLS or there is no token. */
  async start(): Promise<void> {
    const { address, settings, secrets, stats, wallClockMs, random, log } = this.#options;
    if (!address.tls || settings.tokenFile === '') return;
    const [{ WorkloadIdentity }, { certificateClient }, { IdentityFile }] = await Promise.all([
      import('../identity/workload-identity.ts'),
      import('../identity/certificate-client.ts'),
      import('../identity/stored-identity.ts'),
    ]);
    const { trustDomain, namespace, serviceAccount } = settings;
    const expiry = stats.gauge(
      'weft_certificate_expiry_timestamp_seconds',
      'End of life of the own certificate, seconds since the epoch',
    );
    const service = settings.certificateService;
    this.#identity = new WorkloadIdentity({
      spiffeId: `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`,
      request: certificateClient({
        target: service === null ? address.target : formatAddress(service.host, service.port),
        rootCertsPem: () => this.rootCertsPem(),
        serverName: address.serverName,
        now: wallClockMs,
      }),
      readToken: async () => (await readFile(settings.tokenFile, 'utf8')).trim(),
      secrets,
      store: settings.stateDirectory === '' ? null : new IdentityFile(settings.stateDirectory),
      ttlSeconds: settings.certificateTtlSeconds,
      now: wallClockMs,
      after,
      random,
      log,
      onIssued: ({ principal, notAfterMs }) => {
        expiry.set(notAfterMs / 1000);
        this.#options.onPrincipal(principal);
      },
    });
    await this.#identity.start();
  }

  close(): void {
    this.#identity?.close();
  }

  /** A certificate is needed and has not been issued yet. */
  get isAwaited(): boolean {
    return this.#identity !== null && this.#identity.current === null;
  }

  certificate(): WorkloadIdentity['credential'] {
    return this.#identity?.credential ?? null;
  }

  /** The token now in the file; '' where it cannot be read, which the server will answer. */
  token(): string {
    const { tokenFile } = this.#options.settings;
    if (tokenFile === '') return '';
    try {
      return readFileSync(tokenFile, 'utf8').trim();
    } catch {
      return '';
    }
  }

  /** The roots of the bootstrap, and those that the mesh has said since: a root may be rotated (SC-06). */
  rootCertsPem(): string {
    const { secrets, address } = this.#options;
    const { rootCertsPem, validationSecret } = address;
    return [
      this.#readRootCertFile(),
      rootCertsPem,
      validationSecret === '' ? '' : (secrets.validation(validationSecret)?.trustedCaPem ?? ''),
      secrets.validation('ROOTCA')?.trustedCaPem ?? '',
    ]
      .filter((pem) => pem !== '')
      .join('\n');
  }

  /** A mounted file is replaced while it is read: what was read last holds until the new one can be (SC-06). */
  #readRootCertFile(): string {
    const { rootCertFile } = this.#options.settings;
    if (rootCertFile === '') return '';
    try {
      this.#rootFilePem = readFileSync(rootCertFile, 'utf8');
    } catch (error) {
      if (this.#rootFilePem === '') throw error;
    }
    return this.#rootFilePem;
  }
}
