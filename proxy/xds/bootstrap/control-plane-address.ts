import type { Bootstrap } from '../../../proto/gen/envoy/config/bootstrap/v3/bootstrap.ts';
import type { ApiConfigSource } from '../../../proto/gen/envoy/config/core/v3/config_source.ts';
import type {
  GrpcService,
  GrpcService_GoogleGrpc,
} from '../../../proto/gen/envoy/config/core/v3/grpc_service.ts';
import { formatAddress } from '../../tcp/socket-address.ts';
import type { ClusterConfig } from '../../upstream/cluster-config.ts';
import type { CompileContext } from '../compile/compile-context.ts';
import { readDataSource } from '../compile/data-source.ts';
import type { MessageReader } from '../compile/message-reader.ts';
import { isLoopback, parseHostPort } from './host-port.ts';
import type { WeftSettings } from './settings.ts';

/** How to reach the server that configures this proxy. */
export interface ControlPlaneAddress {
  /** For grpc-js: `127.0.0.1:15012`, `unix:/path`. */
  readonly target: string;
  /** False: plain text, allowed to this host only unless the bootstrap insists. */
  readonly tls: boolean;
  /** Name to verify the server's certificate against; '' = the host of `target`. */
  readonly serverName: string;
  /** Name of the secret that holds the trusted roots of a static cluster's TLS context, or ''. */
  readonly validationSecret: string;
  /** PEM given in place with google_grpc, or ''. */
  readonly rootCertsPem: string;
  /** `initial_metadata` of the service: name and value pairs. */
  readonly metadata: readonly (readonly [string, string])[];
}

/** `dynamic_resources.ads_config`: its first gRPC service, by the static cluster that it names or by URI. */
export function readControlPlaneAddress(
  reader: MessageReader<ApiConfigSource>,
  clusters: ReadonlyMap<string, ClusterConfig>,
  settings: WeftSettings,
  context: CompileContext,
): ControlPlaneAddress | undefined {
  // The delta protocol is spoken whichever of the two is named: both are served under one method each.
  reader.choice(
    'apiType',
    [
      [3, 'DELTA_GRPC', true],
      [2, 'GRPC', true],
    ],
    true,
  );
  reader.take('transportApiVersion');
  reader.take('setNodeOnFirstMessageOnly'); // always so
  const services = reader.children('grpcServices');
  const service = services[0];
  if (service === undefined) {
    reader.problem('grpcServices', 'must not be empty');
    return undefined;
  }
  if (services.length > 1) reader.problem('grpcServices', 'one server is supported');
  const address = readService(service, clusters, context);
  if (address === undefined) return undefined;
  if (!address.tls && !settings.insecureXds && !isLocal(address.target)) {
    service.problems.add(
      service.path,
      `${address.target} would be spoken to without TLS; give its cluster a transport_socket, or set node.metadata WEFT_INSECURE_XDS: "true"`,
    );
  }
  return address;
}

function isLocal(target: string): boolean {
  if (target.startsWith('unix:')) return true;
  return isLoopback(parseHostPort(target)?.host ?? '');
}

function readService(
  reader: MessageReader<GrpcService>,
  clusters: ReadonlyMap<string, ClusterConfig>,
  context: CompileContext,
): ControlPlaneAddress | undefined {
  reader.take('timeout');
  reader.take('retryPolicy');
  const metadata = reader.children('initialMetadata').map((header) => {
    header.take('rawValue');
    return [header.required('key').toLowerCase(), header.string('value')] as const;
  });
  const set = reader.oneof('targetSpecifier');
  switch (set?.$case) {
    case 'envoyGrpc': {
      const grpc = reader.caseReader(set);
      const name = grpc.required('clusterName');
      const authority = grpc.string('authority');
      grpc.take('retryPolicy');
      grpc.take('maxReceiveMessageLength');
      grpc.take('skipEnvoyHeaders');
      const cluster = clusters.get(name);
      const endpoint = cluster?.assignment.endpoints[0];
      if (cluster === undefined || endpoint === undefined) {
        const problem =
          cluster === undefined
            ? `names no cluster of static_resources; they are ${[...clusters.keys()].join(', ') || 'none'}`
            : `cluster "${name}" has no endpoint`;
        grpc.problem('clusterName', problem);
        return undefined;
      }
      return {
        target: formatAddress(endpoint.address, endpoint.port),
        tls: cluster.tls !== null,
        serverName: cluster.tls?.sni || authority,
        validationSecret: cluster.tls?.validationSecret ?? '',
        rootCertsPem: '',
        metadata,
      };
    }
    case 'googleGrpc':
      return { ...readGoogleGrpc(reader.caseReader(set), context), metadata };
    default:
      reader.unsupportedCase(set, 'envoy_grpc or google_grpc');
      return undefined;
  }
}

function readGoogleGrpc(
  reader: MessageReader<GrpcService_GoogleGrpc>,
  context: CompileContext,
): Omit<ControlPlaneAddress, 'metadata'> {
  reader.take('statPrefix');
  const target = reader.required('targetUri').replace(/^dns:\/{0,3}/, '');
  if (!target.startsWith('unix:') && parseHostPort(target) === undefined) {
    reader.problem('targetUri', `"${target}" must read host:port or unix:/path`);
  }
  const credentials = reader.child('channelCredentials');
  const set = credentials?.oneof('credentialSpecifier');
  let rootCertsPem = '';
  if (credentials !== undefined && set?.$case === 'sslCredentials') {
    const roots = credentials.caseReader(set).child('rootCerts');
    if (roots !== undefined) rootCertsPem = readDataSource(roots, context).toString();
  }
  const tls = credentials !== undefined && set?.$case !== 'localCredentials';
  return { target, tls, serverName: '', validationSecret: '', rootCertsPem };
}

/** Whether the bootstrap takes listeners or clusters from its ADS server. */
export function isDynamic(bootstrap: Bootstrap): boolean {
  return bootstrap.dynamicResources?.adsConfig !== undefined;
}
