import { packAny } from '../../proto/any.ts';
import type { DeepPartial, TransportSocket } from '../../proto/gen/envoy/config/core/v3/base.ts';
import { RawBuffer } from '../../proto/gen/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.ts';
import {
  SubjectAltNameMatcher_SanType,
  TlsParameters_TlsProtocol,
} from '../../proto/gen/envoy/extensions/transport_sockets/tls/v3/common.ts';
import type { SdsSecretConfig } from '../../proto/gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import {
  type CommonTlsContext,
  DownstreamTlsContext,
  UpstreamTlsContext,
} from '../../proto/gen/envoy/extensions/transport_sockets/tls/v3/tls.ts';
import { TYPE_DOWNSTREAM_TLS, TYPE_RAW_BUFFER, TYPE_UPSTREAM_TLS } from '../../proto/type-urls.ts';
import { spiffeId } from '../auth/spiffe-id.ts';
import type { MeshOptions } from '../mesh/mesh-options.ts';
import type { Service } from '../registry/registry.ts';
import { FROM_ADS } from './config-source.ts';
import { OWN_SECRET, ROOT_SECRET } from './names.ts';
import type { ProxyView } from './proxy-view.ts';

const TLS_SOCKET = 'envoy.transport_sockets.tls';

/** The client's side of mesh TLS: own certificate, mesh roots, and only the server that the service should have. */
export function upstreamMeshTls(
  secrets: ProxyView['secrets'],
  serverName: string,
  alpnProtocols: readonly string[],
  identities: readonly string[],
): DeepPartial<TransportSocket> {
  return {
    name: TLS_SOCKET,
    configType: {
      $case: 'typedConfig',
      value: packAny(
        TYPE_UPSTREAM_TLS,
        UpstreamTlsContext.create({
          sni: serverName,
          commonTlsContext: commonTls(
            secrets,
            alpnProtocols,
            identities.map((exact) => ({ $case: 'exact', value: exact })),
          ),
        }),
      ),
    },
  };
}

/** The server's side: a client certificate of the mesh's own trust domain is a must. */
export function downstreamMeshTls(
  secrets: ProxyView['secrets'],
  alpnProtocols: readonly string[],
  trustDomain: string,
): DeepPartial<TransportSocket> {
  return {
    name: TLS_SOCKET,
    configType: {
      $case: 'typedConfig',
      value: packAny(
        TYPE_DOWNSTREAM_TLS,
        DownstreamTlsContext.create({
          requireClientCertificate: true,
          commonTlsContext: commonTls(secrets, alpnProtocols, [
            { $case: 'prefix', value: `spiffe://${trustDomain}/` },
          ]),
        }),
      ),
    },
  };
}

export const RAW_BUFFER: DeepPartial<TransportSocket> = {
  name: 'envoy.transport_sockets.raw_buffer',
  configType: {
    $case: 'typedConfig',
    value: packAny(TYPE_RAW_BUFFER, RawBuffer.create()),
  },
};

/**
 * The identities of which a server of `service` must show one (SC-03): those of its endpoints' accounts, and those
 * its ServiceEntry names. Empty where nobody knows any: then every certificate of the mesh will do, as in Istio.
 */
export function serverIdentities(service: Service, options: MeshOptions): readonly string[] {
  const ofAccounts = service.serviceAccounts.map((account) => {
    const slash = account.indexOf('/');
    return spiffeId({
      trustDomain: options.trustDomain,
      namespace: account.slice(0, slash),
      serviceAccount: account.slice(slash + 1),
    });
  });
  return [...new Set([...ofAccounts, ...service.subjectAltNames])].sort();
}

type SanPattern =
  | { readonly $case: 'exact'; readonly value: string }
  | { readonly $case: 'prefix'; readonly value: string };

function commonTls(
  secrets: ProxyView['secrets'],
  alpnProtocols: readonly string[],
  sans: readonly SanPattern[],
): DeepPartial<CommonTlsContext> {
  return {
    alpnProtocols: [...alpnProtocols],
    // SC-18.
    tlsParams: { tlsMinimumProtocolVersion: TlsParameters_TlsProtocol.TLSv1_2 },
    tlsCertificateSdsSecretConfigs: [secret(OWN_SECRET, secrets)],
    validationContextType: {
      $case: 'combinedValidationContext',
      value: {
        defaultValidationContext: {
          matchTypedSubjectAltNames: sans.map((matchPattern) => ({
            sanType: SubjectAltNameMatcher_SanType.URI,
            matcher: { matchPattern },
          })),
        },
        validationContextSdsSecretConfig: secret(ROOT_SECRET, secrets),
      },
    },
  };
}

/** Without a source the name means a secret of the bootstrap file. */
function secret(name: string, secrets: ProxyView['secrets']): DeepPartial<SdsSecretConfig> {
  return secrets === 'static' ? { name } : { name, sdsConfig: FROM_ADS };
}
