import { generateKeyPairSync } from 'node:crypto';
import { createRequest } from '../../control-plane/ca/certificate-request.testing.ts';
import { certificateClient } from '../../proxy/identity/certificate-client.ts';
import type { ControlPlane } from './control-plane.ts';
import { EnvoyProcess } from './envoy-process.ts';
import { joinToken } from './workload.ts';

export interface EnvoySidecarOptions {
  /** Also its service account. */
  readonly name: string;
  /** Where our control plane serves xDS in plain text. */
  readonly xdsPort: number;
  /** Port of its explicit proxy. */
  readonly outboundPort: number;
  /** Ports of its app, as `WEFT_PORTS` lists them. */
  readonly ports?: readonly object[];
}

/** A stock Envoy as a sidecar of namespace `default`, with a certificate of the mesh in its bootstrap. Not waited for. */
export async function envoySidecar(
  controlPlane: ControlPlane,
  options: EnvoySidecarOptions,
): Promise<EnvoyProcess> {
  const { name, xdsPort, outboundPort, ports = [] } = options;
  const secrets = await meshSecrets(controlPlane, name);
  const metadata = {
    NAMESPACE: 'default',
    SERVICE_ACCOUNT: name,
    LABELS: { app: name },
    INTERCEPTION_MODE: 'NONE',
    HTTP_PROXY_PORT: String(outboundPort),
    WEFT_SECRETS: 'static',
    ...(ports.length > 0 && { WEFT_PORTS: ports }),
  };
  const ads = { ads: {}, resource_api_version: 'V3' };
  const http2 = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
  const endpoint = { address: { socket_address: { address: '127.0.0.1', port_value: xdsPort } } };
  return new EnvoyProcess(() => ({
    bootstrap: {
      node: {
        id: `sidecar~127.0.0.1~${name}.default~default.svc.cluster.local`,
        cluster: `${name}.default`,
        metadata,
      },
      dynamic_resources: {
        ads_config: {
          api_type: 'DELTA_GRPC',
          transport_api_version: 'V3',
          grpc_services: [{ envoy_grpc: { cluster_name: 'xds-grpc' } }],
        },
        cds_config: ads,
        lds_config: ads,
      },
      static_resources: {
        secrets,
        clusters: [
          {
            name: 'xds-grpc',
            type: 'STATIC',
            connect_timeout: '5s',
            typed_extension_protocol_options: {
              [http2]: {
                '@type': `type.googleapis.com/${http2}`,
                explicit_http_config: { http2_protocol_options: {} },
              },
            },
            load_assignment: {
              cluster_name: 'xds-grpc',
              endpoints: [{ lb_endpoints: [{ endpoint }] }],
            },
          },
        ],
      },
    },
  }));
}

/** A certificate for the service account, and the roots, under the names that the control plane refers to. */
async function meshSecrets(
  controlPlane: ControlPlane,
  serviceAccount: string,
): Promise<readonly object[]> {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const sign = certificateClient({
    target: controlPlane.xds,
    rootCertsPem: () => controlPlane.rootCert(),
    serverName: '',
    now: Date.now,
  });
  const token = await joinToken(controlPlane, 'default', serviceAccount);
  const chain = await sign(await createRequest(keys), { kind: 'token', token }, 3600);
  const key = keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return [
    {
      name: 'default',
      tls_certificate: {
        certificate_chain: { inline_string: chain.join('') },
        private_key: { inline_string: key },
      },
    },
    {
      name: 'ROOTCA',
      validation_context: { trusted_ca: { inline_string: controlPlane.rootCert() } },
    },
  ];
}
