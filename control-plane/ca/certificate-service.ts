import { type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import type {
  IstioCertificateRequest,
  IstioCertificateResponse,
  IstioCertificateServiceServer,
} from '../../proto/gen/istio/v1/auth/ca.ts';
import type { Caller } from '../auth/authenticator.ts';
import { spiffeId, type WorkloadIdentity } from '../auth/spiffe-id.ts';
import { type Authority, splitPem } from './authority.ts';
import { checkRequest } from './certificate-request.ts';
import type { IssueRateLimit } from './issue-rate-limit.ts';

export interface CertificateServiceOptions {
  /** Asked at each call, so that a rotated authority takes over without a restart. */
  readonly authority: () => Authority;
  readonly authenticate: (call: ServerUnaryCall<unknown, unknown>) => Promise<Caller>;
  readonly rateLimit: IssueRateLimit;
  /** Milliseconds, default of a certificate's life; also its maximum (SC-04: 24 h). */
  readonly workloadTtlMs: number;
  readonly log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
  readonly count: (outcome: IssueOutcome) => void;
}

export type IssueOutcome =
  | 'issued'
  | 'unauthenticated'
  | 'unavailable'
  | 'rateLimited'
  | 'identityMismatch'
  | 'malformed'
  | 'signature'
  | 'key'
  | 'size'
  | 'failed';

/**
 * `istio.v1.auth.IstioCertificateService` (SC-04). The identity comes from the caller's credential alone; a
 * request that asks for any other name is refused and logged with both names (A2.9). The answer is the leaf,
 * then what leads to the root, then every trusted root last.
 */
export function certificateService(
  options: CertificateServiceOptions,
): IstioCertificateServiceServer {
  return {
    createCertificate(call, callback) {
      createCertificate(options, call, callback).catch((error: Error) => {
        options.count('failed');
        options.log.warn({ err: error }, 'a certificate could not be issued');
        callback({ code: status.INTERNAL, details: 'the certificate could not be issued' });
      });
    },
  };
}

async function createCertificate(
  options: CertificateServiceOptions,
  call: ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>,
  callback: sendUnaryData<IstioCertificateResponse>,
): Promise<void> {
  const refuse = (outcome: IssueOutcome, code: status, details: string, identity?: string) => {
    options.count(outcome);
    options.log.warn(
      { peer: call.getPeer(), identity, outcome, details },
      'certificate request refused',
    );
    callback({ code, details });
  };
  const caller = await options.authenticate(call);
  if (caller.kind === 'unauthenticated') {
    refuse('unauthenticated', status.UNAUTHENTICATED, caller.problem);
    return;
  }
  if (caller.kind === 'unavailable') {
    refuse('unavailable', status.UNAVAILABLE, caller.problem);
    return;
  }
  const id = spiffeId(caller.identity);
  const renewal = caller.kind === 'certificate';
  if (!options.rateLimit.take(id, renewal)) {
    const details = 'too many certificate requests; try again later';
    refuse('rateLimited', status.RESOURCE_EXHAUSTED, details, id);
    return;
  }
  const request = await checkRequest(call.request.csr);
  if ('problem' in request) {
    refuse(request.reason, status.INVALID_ARGUMENT, request.problem, id);
    return;
  }
  const other = request.names.find((name) => name !== `URI:${id}`);
  if (other !== undefined) {
    const details = `the request asks for ${other}, the caller is ${id}`;
    refuse('identityMismatch', status.PERMISSION_DENIED, details, id);
    return;
  }
  const authority = options.authority();
  const askedMs = call.request.validityDuration * 1000;
  const ttlMs = askedMs > 0 ? Math.min(askedMs, options.workloadTtlMs) : options.workloadTtlMs;
  const issued = await authority.issue({
    publicKey: request.publicKey,
    uris: [id],
    dnsNames: [],
    ipAddresses: [],
    ttlMs,
  });
  options.count('issued');
  options.log.info(
    { identity: id, serial: issued.serialNumber, renewal, notAfter: new Date(issued.notAfterMs) },
    'certificate issued',
  );
  callback(null, {
    certChain: [...splitPem(issued.chainPem), ...splitPem(authority.rootsPem)].map(
      (pem) => `${pem}\n`,
    ),
  });
}

/** Whether a caller may act as the identity that it claims, e.g. in node metadata (A2.11). */
export function claimProblem(
  caller: WorkloadIdentity,
  claimed: { readonly namespace: string; readonly serviceAccount: string },
): string | null {
  if (caller.namespace !== claimed.namespace) {
    return `the node says namespace "${claimed.namespace}", its credential says "${caller.namespace}"`;
  }
  if (caller.serviceAccount !== claimed.serviceAccount) {
    return `the node says service account "${claimed.serviceAccount}", its credential says "${caller.serviceAccount}"`;
  }
  return null;
}
