/** Compiled TLS contexts. Certificates themselves live in a `SecretStore`, so that rotation needs no new config. */

/** `envoy.extensions.transport_sockets.tls.v3.CommonTlsContext`. */
export interface TlsConfig {
  /** Names in the `SecretStore` ('default' is the SVID); inline certificates get a generated name. '' = present none. */
  readonly certificateSecret: string;
  /** Trusted roots ('ROOTCA' is the mesh root); '' = verify nothing (downstream) or system roots (upstream). */
  readonly validationSecret: string;
  /** SPIFFE ids or DNS names of which the peer's certificate must carry one; empty = any that verifies. */
  readonly subjectAltNames: readonly SanMatcher[];
  readonly alpnProtocols: readonly string[];
  /** Node's spelling, default TLSv1.2 (SC-18). */
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  readonly maxVersion: 'TLSv1.2' | 'TLSv1.3';
  /** OpenSSL cipher list for TLS 1.2, '' = default. */
  readonly ciphers: string;
}

export interface SanMatcher {
  readonly type: 'URI' | 'DNS' | 'IP' | 'ANY';
  /** Compared with the SAN read from the certificate's DER, never its display string. */
  readonly matches: (san: string) => boolean;
  /** What an error message shows. */
  readonly text: string;
}

export interface UpstreamTlsConfig extends TlsConfig {
  readonly sni: string;
}

export interface DownstreamTlsConfig extends TlsConfig {
  readonly requireClientCertificate: boolean;
}

/** PEM material by secret name; changes are announced, new handshakes use the new material (SC-05). */
export interface SecretStore {
  certificate(name: string): CertificateSecret | undefined;
  validation(name: string): ValidationSecret | undefined;
  /** Called after each change with the secret's name; returns the way to stop it. */
  onChange(listener: (name: string) => void): () => void;
}

export interface CertificateSecret {
  readonly certificateChainPem: string;
  readonly privateKeyPem: string;
  /** The URI SAN, for `ConnectionInfo.localPrincipal`, or ''. */
  readonly principal: string;
}

export interface ValidationSecret {
  /** One or more roots, so that two can be trusted at once (SC-06). */
  readonly trustedCaPem: string;
}
