import type { HttpProtocolOptions } from '../../../proto/gen/envoy/config/core/v3/protocol.ts';
import type {
  HttpConnectionManager,
  HttpConnectionManager_Tracing,
} from '../../../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts';
import type { ConnectionManagerConfig } from '../../connection-manager/connection-manager-config.ts';
import { compileAccessLogs } from './access-log.ts';
import type { CompileContext } from './compile-context.ts';
import { compileHttpFilters } from './http-filter.ts';
import { compileHttp2Options } from './http2-protocol-options.ts';
import type { MessageReader } from './message-reader.ts';
import { compilePercent, MILLION } from './percent.ts';
import { readRouteConfiguration } from './route-configuration.ts';

/** What a connection manager takes over from its listener. */
export interface ListenerTraits {
  readonly direction: ConnectionManagerConfig['direction'];
  readonly explicitProxy: boolean;
  /** Listener metadata `weft.dialled_endpoint`; see `TcpProxyConfig.endpoint`. */
  readonly dialledEndpoint: string;
  readonly version: string;
}

/** `envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`. */
export function compileHttpConnectionManager(
  reader: MessageReader<HttpConnectionManager>,
  traits: ListenerTraits,
  context: CompileContext,
): ConnectionManagerConfig {
  return {
    statPrefix: reader.required('statPrefix'),
    codecType: reader.choice<ConnectionManagerConfig['codecType']>(
      'codecType',
      [
        [0, 'AUTO', 'AUTO'],
        [1, 'HTTP1', 'HTTP1'],
        [2, 'HTTP2', 'HTTP2'],
      ],
      'AUTO',
    ),
    http2: compileHttp2Options(reader.child('http2ProtocolOptions')),
    ...compileRoutes(reader, traits, context),
    httpFilters: compileHttpFilters(reader, traits.explicitProxy),
    accessLogs: compileAccessLogs(reader.children('accessLog'), context),
    direction: traits.direction,
    requestHeadersBytesMax:
      reader.integer('maxRequestHeadersKb', { min: 1, max: 8192, fallback: 60 }) * 1024,
    ...compileCommonOptions(reader.child('commonHttpProtocolOptions')),
    streamIdleTimeoutMs: reader.durationMs('streamIdleTimeout', 300_000),
    requestTimeoutMs: reader.durationMs('requestTimeout', 0),
    // Envoy's default is none; a head that never ends must not hold a connection (A1.9).
    requestHeadersTimeoutMs: reader.durationMs('requestHeadersTimeout', 10_000),
    drainTimeoutMs: reader.durationMs('drainTimeout', 5000),
    delayedCloseTimeoutMs: reader.durationMs('delayedCloseTimeout', 1000),
    acceptHttp10: compileHttp1(reader),
    normalizePath: reader.bool('normalizePath'),
    mergeSlashes: reader.bool('mergeSlashes'),
    escapedSlashes: reader.choice<ConnectionManagerConfig['escapedSlashes']>(
      'pathWithEscapedSlashesAction',
      [
        [0, 'IMPLEMENTATION_SPECIFIC_DEFAULT', 'KEEP'],
        [1, 'KEEP_UNCHANGED', 'KEEP'],
        [2, 'REJECT_REQUEST', 'REJECT'],
        [3, 'UNESCAPE_AND_REDIRECT', 'UNESCAPE_REDIRECT'],
        [4, 'UNESCAPE_AND_FORWARD', 'UNESCAPE_FORWARD'],
      ],
      'KEEP',
    ),
    serverName: reader.string('serverName') || 'envoy',
    serverHeader: reader.choice<ConnectionManagerConfig['serverHeader']>(
      'serverHeaderTransformation',
      [
        [0, 'OVERWRITE', 'OVERWRITE'],
        [1, 'APPEND_IF_ABSENT', 'APPEND_IF_ABSENT'],
        [2, 'PASS_THROUGH', 'PASS_THROUGH'],
      ],
      'OVERWRITE',
    ),
    generateRequestId: reader.bool('generateRequestId', true),
    preserveExternalRequestId: reader.bool('preserveExternalRequestId'),
    useRemoteAddress: reader.bool('useRemoteAddress'),
    xffTrustedHops: reader.take('xffNumTrustedHops'),
    ...compileClientCertificate(reader),
    upgrades: compileUpgrades(reader),
    explicitProxy: traits.explicitProxy,
    stripAnyHostPort: compileStripPort(reader),
    tracingSamplingPerMillion: compileSampling(reader.child('tracing')),
  };
}

type Routes = Pick<ConnectionManagerConfig, 'rdsRouteName' | 'routeConfig'>;

function compileRoutes(
  reader: MessageReader<HttpConnectionManager>,
  traits: ListenerTraits,
  context: CompileContext,
): Routes {
  const set = reader.oneof('routeSpecifier');
  if (set?.$case === 'routeConfig') {
    const routes = readRouteConfiguration(reader.caseReader(set), traits.version, context);
    return { rdsRouteName: '', routeConfig: routes };
  }
  if (set?.$case !== 'rds') {
    reader.unsupportedCase(set, 'route_config or rds');
    return { rdsRouteName: '', routeConfig: null };
  }
  const rds = reader.caseReader(set);
  const source = rds.child('configSource');
  if (source === undefined) rds.problem('configSource', 'must be set');
  else {
    const specifier = source.oneof('configSourceSpecifier');
    if (specifier?.$case !== 'ads' && specifier?.$case !== 'self') {
      source.unsupportedCase(specifier, 'ads');
    }
  }
  return { rdsRouteName: rds.required('routeConfigName'), routeConfig: null };
}

type CommonOptions = Pick<
  ConnectionManagerConfig,
  'headersCountMax' | 'idleTimeoutMs' | 'connectionDurationMaxMs' | 'streamDurationMaxMs'
>;

function compileCommonOptions(
  reader: MessageReader<HttpProtocolOptions> | undefined,
): CommonOptions {
  if (reader === undefined) {
    return {
      headersCountMax: 100,
      idleTimeoutMs: 3_600_000,
      connectionDurationMaxMs: 0,
      streamDurationMaxMs: 0,
    };
  }
  return {
    headersCountMax: reader.integer('maxHeadersCount', { min: 1, max: 10_000, fallback: 100 }),
    idleTimeoutMs: reader.durationMs('idleTimeout', 3_600_000),
    connectionDurationMaxMs: reader.durationMs('maxConnectionDuration', 0),
    streamDurationMaxMs: reader.durationMs('maxStreamDuration', 0),
  };
}

function compileHttp1(reader: MessageReader<HttpConnectionManager>): boolean {
  return reader.child('httpProtocolOptions')?.bool('acceptHttp10') ?? false;
}

type ClientCertificate = Pick<
  ConnectionManagerConfig,
  'forwardClientCert' | 'clientCertSubject' | 'clientCertUri' | 'clientCertDns'
>;

function compileClientCertificate(reader: MessageReader<HttpConnectionManager>): ClientCertificate {
  const details = reader.child('setCurrentClientCertDetails');
  return {
    forwardClientCert: reader.choice<ClientCertificate['forwardClientCert']>(
      'forwardClientCertDetails',
      [
        [0, 'SANITIZE', 'SANITIZE'],
        [1, 'FORWARD_ONLY', 'FORWARD_ONLY'],
        [2, 'APPEND_FORWARD', 'APPEND_FORWARD'],
        [3, 'SANITIZE_SET', 'SANITIZE_SET'],
        [4, 'ALWAYS_FORWARD_ONLY', 'ALWAYS_FORWARD_ONLY'],
      ],
      'SANITIZE',
    ),
    clientCertSubject: details?.bool('subject') ?? false,
    clientCertUri: details?.bool('uri') ?? false,
    clientCertDns: details?.bool('dns') ?? false,
  };
}

function compileUpgrades(
  reader: MessageReader<HttpConnectionManager>,
): ReadonlyMap<string, boolean> {
  const upgrades = new Map<string, boolean>();
  for (const upgrade of reader.children('upgradeConfigs')) {
    const name = upgrade.required('upgradeType').toLowerCase();
    if (upgrades.has(name)) upgrade.problem('upgradeType', `"${name}" stands here twice`);
    upgrades.set(name, upgrade.bool('enabled', true));
  }
  return upgrades;
}

function compileStripPort(reader: MessageReader<HttpConnectionManager>): boolean {
  const mode = reader.oneof('stripPortMode');
  return mode?.value === true;
}

/** -1: no tracing. `random_sampling` within `overall_sampling`, both 100 % where they are not set. */
function compileSampling(reader: MessageReader<HttpConnectionManager_Tracing> | undefined): number {
  if (reader === undefined) return -1;
  compilePercent(reader.child('clientSampling'), MILLION); // x-client-trace-id forces nothing here
  const random = compilePercent(reader.child('randomSampling'), MILLION);
  const overall = compilePercent(reader.child('overallSampling'), MILLION);
  return Math.min(random, overall);
}
