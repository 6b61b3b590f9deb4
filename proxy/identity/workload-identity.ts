import type { CertificateSecret, ValidationSecret } from '../tls/tls-config.ts';
import {
  CertificateRefused,
  type Credential,
  type RequestCertificate,
} from './certificate-client.ts';
import { makeKeyAndRequest } from './certificate-request.ts';
import { type IssuedCertificate, readIssuedCertificate } from './issued-certificate.ts';
import type { IdentityStore } from './stored-identity.ts';

/** Names under which the rest of the proxy finds the identity and the mesh's roots. */
export const OWN_CERTIFICATE = 'default';
export const MESH_ROOTS = 'ROOTCA';

/** Share of a life after which it is renewed, and the jitter around it (SC-05). */
const RENEW_AT = 0.5;
const RENEW_JITTER = 0.01;
/** Milliseconds between attempts: doubled from the first to the second, a random half to whole is waited. */
const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 60_000;
/** Life left, in percent, at which a failed renewal is reported louder (D12). */
const ALARMS = [50, 20, 5] as const;
/** setTimeout's bound. */
const TIMER_MS_MAX = 2_147_483_647;

export interface IdentitySecrets {
  /** '' when taken, else why not. */
  setCertificate(name: string, secret: CertificateSecret): string;
  setValidation(name: string, secret: ValidationSecret): string;
}

export interface WorkloadIdentityOptions {
  readonly spiffeId: string;
  readonly request: RequestCertificate;
  /** The token, or '' where there is none. Read anew each time, because tokens are rotated on disk. */
  readonly readToken: () => Promise<string>;
  readonly secrets: IdentitySecrets;
  /** Null: the identity lives in memory only. */
  readonly store: IdentityStore | null;
  /** 0 = as long as the control plane likes. */
  readonly ttlSeconds: number;
  readonly now: () => number;
  readonly after: (ms: number, callback: () => void) => () => void;
  readonly random: () => number;
  readonly log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
    error(fields: object, message: string): void;
  };
  readonly onIssued: (issued: IssuedCertificate) => void;
}

/**
 * Who this workload is: gets the first certificate, renews it at half of its life, keeps the last one while it
 * cannot be renewed, and keeps trying. New handshakes use the new certificate, open connections stay (SC-05).
 */
export class WorkloadIdentity {
  readonly #options: WorkloadIdentityOptions;
  #current: IssuedCertificate | null = null;
  /** By the local clock; differs from the certificate's where the clocks differ. */
  #expiresAtMs = 0;
  #lifeMs = 0;
  #failures = 0;
  #lowestAlarm = 101;
  #cancelTimer: () => void = () => {};
  #closed = false;

  constructor(options: WorkloadIdentityOptions) {
    this.#options = options;
  }

  get current(): IssuedCertificate | null {
    return this.#current;
  }

  /** What to present to the control plane, or null before the first issue. */
  get credential(): (Credential & { readonly kind: 'certificate' }) | null {
    const current = this.#current;
    if (current === null || this.#options.now() >= this.#expiresAtMs) return null;
    return {
      kind: 'certificate',
      certificateChainPem: current.certificateChainPem,
      privateKeyPem: current.privateKeyPem,
    };
  }

  /** Resolves when there is an identity, or the first attempt to get one has failed. Never rejects. */
  async start(): Promise<void> {
    const { store, log } = this.#options;
    const stored = (await store?.load()) ?? null;
    if (stored !== null && 'problem' in stored) {
      log.warn({ problem: stored.problem }, 'the stored identity is not used');
    } else if (stored !== null && this.#isUsable(stored)) {
      this.#take(stored, stored.notBeforeMs);
      log.info({ serial: stored.serialNumber }, 'identity taken from the state directory');
      return;
    }
    await this.#issue();
  }

  /** Renews now, e.g. because a new root is being rolled out. */
  async renew(): Promise<void> {
    this.#cancelTimer();
    await this.#issue();
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer();
  }

  #isUsable(stored: IssuedCertificate): boolean {
    const { now, log } = this.#options;
    if (stored.notAfterMs <= now()) {
      log.info({ serial: stored.serialNumber }, 'the stored identity has expired');
      return false;
    }
    return true;
  }

  async #issue(): Promise<void> {
    const { log, store } = this.#options;
    try {
      const { privateKeyPem, requestPem } = makeKeyAndRequest(this.#options.spiffeId);
      const chain = await this.#requestWithBest(requestPem);
      const issued = readIssuedCertificate(privateKeyPem, chain);
      if (this.#closed) return;
      this.#take(issued, this.#options.now());
      log.info(
        { serial: issued.serialNumber, notAfter: new Date(issued.notAfterMs).toISOString() },
        'certificate issued',
      );
      await store?.save(issued).catch((error: Error) => {
        log.warn({ problem: error.message }, 'the identity is in memory only');
      });
    } catch (error) {
      if (!this.#closed) this.#failed(error instanceof Error ? error.message : String(error));
    }
  }

  /** By the certificate in hand; by the token where there is none or it is not accepted. */
  async #requestWithBest(requestPem: string): Promise<readonly string[]> {
    const { request, readToken, ttlSeconds } = this.#options;
    const own = this.credential;
    if (own !== null) {
      try {
        return await request(requestPem, own, ttlSeconds);
      } catch (error) {
        if (!(error instanceof CertificateRefused) || !error.unauthenticated) throw error;
      }
    }
    const token = await readToken();
    if (token === '') throw new Error('there is neither a valid certificate nor a token');
    return request(requestPem, { kind: 'token', token }, ttlSeconds);
  }

  /** Puts a certificate to use. `startMs`: when its life began, by the local clock. */
  #take(issued: IssuedCertificate, startMs: number): void {
    const { secrets, log, now, onIssued } = this.#options;
    if (issued.trustedCaPem !== '') {
      const problem = secrets.setValidation(MESH_ROOTS, { trustedCaPem: issued.trustedCaPem });
      if (problem !== '') throw new Error(problem);
    }
    const problem = secrets.setCertificate(OWN_CERTIFICATE, {
      certificateChainPem: issued.certificateChainPem,
      privateKeyPem: issued.privateKeyPem,
      principal: issued.principal,
    });
    if (problem !== '') throw new Error(problem);
    this.#current = issued;
    this.#failures = 0;
    this.#lowestAlarm = 101;
    const life = lifeByLocalClock(issued, startMs, now());
    if (life.skewMs > 0) {
      const seconds = Math.round(life.skewMs / 1000);
      log.warn({ seconds }, `clock skew of ${seconds} s suspected: check the time of this host`);
    }
    this.#lifeMs = life.lifeMs;
    this.#expiresAtMs = life.startMs + life.lifeMs;
    const share = RENEW_AT + (this.#options.random() * 2 - 1) * RENEW_JITTER;
    this.#schedule(life.startMs + life.lifeMs * share - now());
    onIssued(issued);
  }

  #failed(reason: string): void {
    const { now, random, log } = this.#options;
    const ceiling = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(this.#failures, 16));
    this.#failures++;
    let delayMs = ceiling * (0.5 + random() / 2);
    const leftMs = this.#expiresAtMs - now();
    if (this.#current !== null && leftMs > 0) {
      // A short life must see several attempts, whatever the back-off.
      delayMs = Math.min(delayMs, Math.max(100, leftMs / 10));
      const percent = (leftMs / this.#lifeMs) * 100;
      const alarm = ALARMS.findLast((each) => percent <= each) ?? 101;
      const fields = { reason, leftSeconds: Math.round(leftMs / 1000), retryMs: delayMs };
      if (alarm < this.#lowestAlarm) {
        this.#lowestAlarm = alarm;
        log.error(
          fields,
          `the certificate cannot be renewed; less than ${alarm} % of its life is left`,
        );
      } else log.warn(fields, 'the certificate cannot be renewed yet');
    } else if (this.#current !== null) {
      log.error({ reason, retryMs: delayMs }, 'the certificate has expired and cannot be renewed');
    } else log.warn({ reason, retryMs: delayMs }, 'no certificate could be got yet');
    this.#schedule(delayMs);
  }

  #schedule(delayMs: number): void {
    if (this.#closed) return;
    this.#cancelTimer();
    const ms = Math.min(Math.max(0, delayMs), TIMER_MS_MAX);
    this.#cancelTimer = this.#options.after(ms, () => void this.#issue());
  }
}

/**
 * A certificate's life as this host sees it. Where the local clock stands outside of the validity, the clocks
 * differ: the length of the life still holds and is counted from now (F8).
 */
function lifeByLocalClock(
  { notBeforeMs, notAfterMs }: IssuedCertificate,
  startMs: number,
  nowMs: number,
): { readonly startMs: number; readonly lifeMs: number; readonly skewMs: number } {
  if (nowMs < notBeforeMs) {
    return { startMs: nowMs, lifeMs: notAfterMs - notBeforeMs, skewMs: notBeforeMs - nowMs };
  }
  if (nowMs >= notAfterMs) {
    return { startMs: nowMs, lifeMs: notAfterMs - notBeforeMs, skewMs: nowMs - notAfterMs };
  }
  const start = Math.max(startMs, notBeforeMs);
  return { startMs: start, lifeMs: notAfterMs - start, skewMs: 0 };
}
