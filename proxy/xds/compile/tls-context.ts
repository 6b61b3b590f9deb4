import type { TransportSocket } from '../../../proto/gen/envoy/config/core/v3/base.ts';
import type {
  CertificateValidationContext,
  SubjectAltNameMatcher,
  TlsParameters,
} from '../../../proto/gen/envoy/extensions/transport_sockets/tls/v3/common.ts';
import type { SdsSecretConfig } from '../../../proto/gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import type {
  CommonTlsContext,
  DownstreamTlsContext,
  UpstreamTlsContext,
} from '../../../proto/gen/envoy/extensions/transport_sockets/tls/v3/tls.ts';
import type { StringMatcher } from '../../router/route-config.ts';
import { matchString } from '../../router/string-match.ts';
import type {
  DownstreamTlsConfig,
  SanMatcher,
  TlsConfig,
  UpstreamTlsConfig,
} from '../../tls/tls-config.ts';
import type { CompileContext } from './compile-context.ts';
import type { MessageReader } from './message-reader.ts';
import { compileCertificate, compileTrustedCa } from './secret.ts';
import { compileStringMatcher } from './string-matcher.ts';

const UPSTREAM = 'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext';
const DOWNSTREAM = 'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext';
const RAW_BUFFER = 'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer';

/** `transport_socket` of a cluster; null is plain text. */
export function compileUpstreamSocket(
  reader: MessageReader<TransportSocket> | undefined,
  context: CompileContext,
): UpstreamTlsConfig | null {
  const found = unpackSocket(reader, UPSTREAM);
  if (found?.name !== UPSTREAM) return null;
  return compileUpstreamTls(found.reader, context);
}

/** `transport_socket` of a filter chain; null is plain text. */
export function compileDownstreamSocket(
  reader: MessageReader<TransportSocket> | undefined,
  context: CompileContext,
): DownstreamTlsConfig | null {
  const found = unpackSocket(reader, DOWNSTREAM);
  if (found?.name !== DOWNSTREAM) return null;
  return compileDownstreamTls(found.reader, context);
}

function unpackSocket<N extends typeof UPSTREAM | typeof DOWNSTREAM>(
  reader: MessageReader<TransportSocket> | undefined,
  name: N,
) {
  if (reader === undefined) return undefined;
  const named = reader.string('name');
  const config = reader.take('configType');
  if (config === undefined && named === 'envoy.transport_sockets.raw_buffer') return undefined;
  return reader.unpack(config?.value, reader.caseAt('typedConfig'), [name, RAW_BUFFER]);
}

function compileUpstreamTls(
  reader: MessageReader<UpstreamTlsContext>,
  context: CompileContext,
): UpstreamTlsConfig {
  const sni = reader.string('sni');
  if (sni.length > 255) reader.problem('sni', 'must not be longer than 255 characters');
  return { ...compileCommon(reader.child('commonTlsContext'), context), sni };
}

function compileDownstreamTls(
  reader: MessageReader<DownstreamTlsContext>,
  context: CompileContext,
): DownstreamTlsConfig {
  const common = compileCommon(reader.child('commonTlsContext'), context);
  const requireClientCertificate = reader.bool('requireClientCertificate');
  if (common.certificateSecret === '') {
    reader.problem('commonTlsContext', 'a certificate must be set');
  }
  if (requireClientCertificate && common.validationSecret === '') {
    reader.problem(
      'requireClientCertificate',
      'needs a validation context with trusted_ca in common_tls_context',
    );
  }
  return { ...common, requireClientCertificate };
}

const PLAIN: TlsConfig = {
  certificateSecret: '',
  validationSecret: '',
  subjectAltNames: [],
  alpnProtocols: [],
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  ciphers: '',
};

function compileCommon(
  reader: MessageReader<CommonTlsContext> | undefined,
  context: CompileContext,
): TlsConfig {
  if (reader === undefined) return PLAIN;
  return {
    certificateSecret: compileCertificateSource(reader, context),
    ...compileValidation(reader, context),
    alpnProtocols: reader.take('alpnProtocols'),
    ...compileParameters(reader.child('tlsParams')),
  };
}

function compileCertificateSource(
  reader: MessageReader<CommonTlsContext>,
  context: CompileContext,
): string {
  const inline = reader.children('tlsCertificates');
  const named = reader.children('tlsCertificateSdsSecretConfigs');
  if (inline.length + named.length > 1) {
    const key = inline.length > 1 ? 'tlsCertificates' : 'tlsCertificateSdsSecretConfigs';
    reader.problem(key, 'one certificate a context is supported');
  }
  const first = inline[0];
  if (first !== undefined) return context.inlineSecret(compileCertificate(first, context));
  return named[0] === undefined ? '' : secretName(named[0]);
}

function secretName(reader: MessageReader<SdsSecretConfig>): string {
  return reader.required('name');
}

type Validation = Pick<TlsConfig, 'validationSecret' | 'subjectAltNames'>;

function compileValidation(
  reader: MessageReader<CommonTlsContext>,
  context: CompileContext,
): Validation {
  const set = reader.oneof('validationContextType');
  switch (set?.$case) {
    case undefined:
      return { validationSecret: '', subjectAltNames: [] };
    case 'validationContext':
      return compileValidationContext(reader.caseReader(set), context);
    case 'validationContextSdsSecretConfig':
      return { validationSecret: secretName(reader.caseReader(set)), subjectAltNames: [] };
    case 'combinedValidationContext': {
      const combined = reader.caseReader(set);
      const own = combined.child('defaultValidationContext');
      const named = combined.child('validationContextSdsSecretConfig');
      const validation =
        own === undefined
          ? { validationSecret: '', subjectAltNames: [] }
          : compileValidationContext(own, context);
      if (named === undefined) return validation;
      return { ...validation, validationSecret: secretName(named) };
    }
    default:
      reader.unsupportedCase(
        set,
        'validation_context, validation_context_sds_secret_config or combined_validation_context',
      );
      return { validationSecret: '', subjectAltNames: [] };
  }
}

function compileValidationContext(
  reader: MessageReader<CertificateValidationContext>,
  context: CompileContext,
): Validation {
  const secret = compileTrustedCa(reader, context);
  const typed = reader.children('matchTypedSubjectAltNames').map(compileSanMatcher);
  const untyped = reader.children('matchSubjectAltNames').map((matcher) => {
    return sanMatcher('ANY', compileStringMatcher(matcher));
  });
  const hasRoots = secret.kind === 'validation' && secret.trustedCaPem !== '';
  return {
    validationSecret: hasRoots ? context.inlineSecret(secret) : '',
    subjectAltNames: [...typed, ...untyped],
  };
}

function compileSanMatcher(reader: MessageReader<SubjectAltNameMatcher>): SanMatcher {
  const type = reader.choice<SanMatcher['type']>(
    'sanType',
    [
      [2, 'DNS', 'DNS'],
      [3, 'URI', 'URI'],
      [4, 'IP_ADDRESS', 'IP'],
    ],
    'URI',
  );
  const matcher = reader.child('matcher');
  if (matcher === undefined) {
    reader.problem('matcher', 'must be set');
    return sanMatcher(type, { kind: 'exact', value: '', ignoreCase: false });
  }
  return sanMatcher(type, compileStringMatcher(matcher));
}

function sanMatcher(type: SanMatcher['type'], matcher: StringMatcher): SanMatcher {
  return { type, matches: (san) => matchString(matcher, san), text: describe(matcher) };
}

function describe(matcher: StringMatcher): string {
  switch (matcher.kind) {
    case 'exact':
      return matcher.value;
    case 'prefix':
      return `${matcher.value}*`;
    case 'suffix':
      return `*${matcher.value}`;
    case 'contains':
      return `*${matcher.value}*`;
    case 'regex':
      return `/${matcher.regex.source}/`;
    default:
      return '*';
  }
}

type Parameters = Pick<TlsConfig, 'minVersion' | 'maxVersion' | 'ciphers'>;

/** Versions below TLS 1.2 are refused, whatever is asked for (SC-18). */
function compileParameters(reader: MessageReader<TlsParameters> | undefined): Parameters {
  if (reader === undefined) return { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3', ciphers: '' };
  const ciphers = reader.take('cipherSuites');
  ciphers.forEach((suite, index) => {
    if (/[[\]|]/.test(suite)) {
      const path = reader.at('cipherSuites', index);
      reader.problems.add(path, 'groups of equal preference are not supported; list the suites');
    }
  });
  const minVersion = reader.choice<Parameters['minVersion']>(
    'tlsMinimumProtocolVersion',
    [
      [0, 'TLS_AUTO', 'TLSv1.2'],
      [3, 'TLSv1_2', 'TLSv1.2'],
      [4, 'TLSv1_3', 'TLSv1.3'],
    ],
    'TLSv1.2',
  );
  const maxVersion = reader.choice<Parameters['maxVersion']>(
    'tlsMaximumProtocolVersion',
    [
      [0, 'TLS_AUTO', 'TLSv1.3'],
      [3, 'TLSv1_2', 'TLSv1.2'],
      [4, 'TLSv1_3', 'TLSv1.3'],
    ],
    'TLSv1.3',
  );
  if (minVersion > maxVersion) {
    reader.problem('tlsMinimumProtocolVersion', 'must not be above tls_maximum_protocol_version');
  }
  return { minVersion, maxVersion, ciphers: ciphers.join(':') };
}
