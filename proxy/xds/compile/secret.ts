import type {
  CertificateValidationContext,
  TlsCertificate,
} from '../../../proto/gen/envoy/extensions/transport_sockets/tls/v3/common.ts';
import type { Secret } from '../../../proto/gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import { certificateProblem, trustedRootsProblem } from '../../tls/secret-store.ts';
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
    const problem = certificateProblem({ certificateChainPem, privateKeyPem, principal: '' });
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
    const problem = trustedRootsProblem(trustedCaPem);
    if (problem !== '') reader.problem('trustedCa', problem);
  }
  return { kind: 'validation', trustedCaPem };
}
