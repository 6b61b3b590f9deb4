import { credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import {
  IstioCertificateRequest,
  type IstioCertificateResponse,
  IstioCertificateServiceClient,
} from '../../proto/gen/istio/v1/auth/ca.ts';
import { grpcServerName } from '../tls/grpc-server-name.ts';

/** Milliseconds for one request, connecting included. */
const DEADLINE_MS = 10_000;

/** How this workload proves who it is: by the certificate that it has, or by a token. */
export type Credential =
  | {
      readonly kind: 'certificate';
      readonly certificateChainPem: string;
      readonly privateKeyPem: string;
    }
  | { readonly kind: 'token'; readonly token: string };

/** Asks for one certificate; rejects with `CertificateRefused`. */
export type RequestCertificate = (
  requestPem: string,
  credential: Credential,
  ttlSeconds: number,
) => Promise<readonly string[]>;

export interface CertificateClientOptions {
  /** `host:port` for grpc-js. */
  readonly target: string;
  /** PEM roots that the server is verified against (A4.6); read anew for each request. */
  readonly rootCertsPem: () => string;
  /** Name in the server's certificate, '' = the host of the target. */
  readonly serverName: string;
  /** Wall clock, milliseconds since the epoch. */
  readonly now: () => number;
}

/** Why no certificate was issued. */
export class CertificateRefused extends Error {
  readonly code = 'WEFT_CERTIFICATE_REFUSED';
  /** The credential was not good enough: another one may be. */
  readonly unauthenticated: boolean;

  constructor(message: string, unauthenticated: boolean) {
    super(message);
    this.unauthenticated = unauthenticated;
  }
}

/** Client of `istio.v1.auth.IstioCertificateService/CreateCertificate` (SC-04). Always over verified TLS. */
export function certificateClient(options: CertificateClientOptions): RequestCertificate {
  return (requestPem, credential, ttlSeconds) =>
    new Promise((resolve, reject) => {
      const roots = Buffer.from(options.rootCertsPem());
      const { channelOptions, verifyOptions } = grpcServerName(options.target, options.serverName);
      const channel =
        credential.kind === 'certificate'
          ? credentials.createSsl(
              roots,
              Buffer.from(credential.privateKeyPem),
              Buffer.from(credential.certificateChainPem),
              verifyOptions,
            )
          : credentials.createSsl(roots, null, null, verifyOptions);
      const client = new IstioCertificateServiceClient(options.target, channel, {
        'grpc.enable_channelz': 0,
        'grpc.use_local_subchannel_pool': 1,
        'grpc.service_config_disable_resolution': 1,
        'grpc.enable_http_proxy': 0, // HTTP_PROXY is for the app, and names this sidecar
        ...channelOptions,
      });
      const metadata = new Metadata();
      if (credential.kind === 'token') metadata.add('authorization', `Bearer ${credential.token}`);
      const request = IstioCertificateRequest.create({
        csr: requestPem,
        validityDuration: ttlSeconds,
      });
      const answer = (error: ServiceError | null, response: IstioCertificateResponse): void => {
        client.close();
        if (error === null) resolve(response.certChain);
        else {
          const name = status[error.code] ?? 'UNKNOWN';
          const unauthenticated =
            error.code === status.UNAUTHENTICATED || error.code === status.PERMISSION_DENIED;
          reject(new CertificateRefused(`${name}: ${error.details}`, unauthenticated));
        }
      };
      client.createCertificate(
        request,
        metadata,
        { deadline: options.now() + DEADLINE_MS },
        answer,
      );
    });
}
