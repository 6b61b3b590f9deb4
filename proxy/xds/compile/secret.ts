import { createPrivateKey, X509Certificate } from 'node:crypto';
import type {
  CertificateValidationContext,
  TlsCertificate,
} from '../../../proto/gen/envoy/extensions/transport_sockets/tls/v3/common.ts';
import type { Secret } from '../../../proto/gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import type { CompileContext } from './compile-context.ts';
import { readDataSource } from './data-source.ts';
import { MessageReader } from './message-reader.ts';
import { type Compiled, Problems } from './problems.ts';

/** Key material as PEM text, checked: the key fits the certificate, the roots parse. */
export type InlineSecret =
  | {
      readonly kind: 'certificate';
      readonly certificateChainPem: string;
      readonly privateKeyPem: string;
    }
  | { readonly kind: 'validation'; readonly trustedCaPem: string };

export interface NamedSecret {
  readonly name: string;
  readonly secret: InlineSecret;
}

/** `envoy.extensions.transport_sockets.tls.v3.Secret`, of the bootstrap or of SDS. */
export function compileSecret(message: Secret, context: CompileContext): Compiled<NamedSecret> {
  const problems = new Problems();
  const reader = new MessageReader(
    problems,
    'envoy.extensions.transport_sockets.tls.v3.Secret',
    message,
    context.root,
  );
  const name = reader.required('name');
  const set = reader.oneof('type');
  let secret: InlineSecret = { kind: 'validation', trustedCaPem: '' };
  if (set?.$case === 'tlsCertificate') {
    secret = compileCertificate(reader.caseReader(set), context);
  } else if (set?.$case === 'validationContext') {
    secret = compileTrustedCa(reader.caseReader(set), context);
  } else {
    reader.unsupportedCase(set, 'tls_certificate or validation_context');
  }
  reader.finish();
  return problems.finish({ name, secret });
}

/** `TlsCertificate`: a PEM chain, leaf first, and its private key. */
export function compileCertificate(
  reader: MessageReader<TlsCertificate>,
  context: CompileContext,
): InlineSecret {
  const chain = reader.child('certificateChain');
  const key = reader.child('privateKey');
  if (chain === undefined) reader.problem('certificateChain', 'must be set');
  if (key === undefined) reader.problem('privateKey', 'must be set');
  const certificateChainPem = chain === undefined ? '' : readDataSource(chain, context).toString();
  const privateKeyPem = key === undefined ? '' : readDataSource(key, context).toString();
  if (certificateChainPem !== '' && privateKeyPem !== '') {
    const problem = checkKeyPair(certificateChainPem, privateKeyPem);
    if (problem !== '') reader.problems.add(reader.path, problem);
  }
  return { kind: 'certificate', certificateChainPem, privateKeyPem };
}

/** `CertificateValidationContext.trusted_ca`: one or more PEM roots (SC-06). */
export function compileTrustedCa(
  reader: MessageReader<CertificateValidationContext>,
  context: CompileContext,
): InlineSecret {
  const trustedCa = reader.child('trustedCa');
  const trustedCaPem = trustedCa === undefined ? '' : readDataSource(trustedCa, context).toString();
  if (trustedCa !== undefined && trustedCaPem !== '') {
    for (const pem of pemCertificates(trustedCaPem)) {
      const problem = checkCertificate(pem);
      if (problem !== '') reader.problem('trustedCa', problem);
    }
    if (pemCertificates(trustedCaPem).length === 0) {
      reader.problem('trustedCa', 'holds no PEM certificate');
    }
  }
  return { kind: 'validation', trustedCaPem };
}

/** What is wrong with a certificate and its key, or ''. */
export function checkKeyPair(certificateChainPem: string, privateKeyPem: string): string {
  const leaf = pemCertificates(certificateChainPem)[0];
  if (leaf === undefined) return 'the certificate chain holds no PEM certificate';
  const problem = checkCertificate(leaf);
  if (problem !== '') return problem;
  try {
    const key = createPrivateKey(privateKeyPem);
    if (new X509Certificate(leaf).checkPrivateKey(key)) return '';
    return 'the private key does not match the certificate';
  } catch {
    return 'the private key is not an unencrypted PEM key'; // the reason may quote the key: not shown
  }
}

function checkCertificate(pem: string): string {
  try {
    new X509Certificate(pem);
    return '';
  } catch (error) {
    return `holds a broken certificate: ${error instanceof Error ? error.message : error}`;
  }
}

function pemCertificates(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}
