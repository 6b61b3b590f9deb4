import type {
  Filter,
  FilterChain,
  FilterChainMatch,
} from '../../../proto/gen/envoy/config/listener/v3/listener_components.ts';
import type {
  FilterChainConfig,
  FilterChainMatchConfig,
  NetworkFilterConfig,
} from '../../listener/listener-config.ts';
import { compileCidrRange } from './address.ts';
import type { CompileContext } from './compile-context.ts';
import { compileHttpConnectionManager, type ListenerTraits } from './http-connection-manager.ts';
import type { MessageReader } from './message-reader.ts';
import { compileTcpProxy } from './tcp-proxy.ts';
import { compileDownstreamSocket } from './tls-context.ts';

/** A1.9; Envoy's default is none. */
const TLS_HANDSHAKE_TIMEOUT_MS = 10_000;

const HTTP_CONNECTION_MANAGER =
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const TCP_PROXY = 'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy';

/** `envoy.config.listener.v3.FilterChain` with its one network filter. */
export function compileFilterChain(
  reader: MessageReader<FilterChain>,
  traits: ListenerTraits,
  context: CompileContext,
): FilterChainConfig {
  const match = reader.child('filterChainMatch');
  return {
    name: reader.string('name'),
    match: match === undefined ? MATCH_ALL : compileMatch(match),
    tls: compileDownstreamSocket(reader.child('transportSocket'), context),
    transportConnectTimeoutMs: reader.durationMs(
      'transportSocketConnectTimeout',
      TLS_HANDSHAKE_TIMEOUT_MS,
    ),
    filter: compileFilters(reader, traits, context),
  };
}

const MATCH_ALL: FilterChainMatchConfig = Object.freeze({
  destinationPort: 0,
  prefixRanges: Object.freeze([]),
  serverNames: Object.freeze([]),
  transportProtocol: '',
  applicationProtocols: Object.freeze([]),
  sourcePrefixRanges: Object.freeze([]),
});

function compileMatch(reader: MessageReader<FilterChainMatch>): FilterChainMatchConfig {
  const transport = reader.string('transportProtocol');
  if (transport !== '' && transport !== 'tls' && transport !== 'raw_buffer') {
    reader.problem('transportProtocol', `"${transport}" is not one of tls, raw_buffer`);
  }
  return {
    destinationPort: reader.integer('destinationPort', { min: 1, max: 65_535, fallback: 0 }),
    prefixRanges: reader.children('prefixRanges').map(compileCidrRange),
    serverNames: reader.take('serverNames').map((name, index) => {
      if (name === '*' || name.indexOf('*', 1) > 0 || (name[0] === '*' && name[1] !== '.')) {
        const path = reader.at('serverNames', index);
        reader.problems.add(path, `"${name}" must be a host or "*.suffix"`);
      }
      return name.toLowerCase();
    }),
    transportProtocol: transport === 'tls' || transport === 'raw_buffer' ? transport : '',
    applicationProtocols: reader.take('applicationProtocols'),
    sourcePrefixRanges: reader.children('sourcePrefixRanges').map(compileCidrRange),
  };
}

function compileFilters(
  reader: MessageReader<FilterChain>,
  traits: ListenerTraits,
  context: CompileContext,
): NetworkFilterConfig {
  const filters = reader.children('filters');
  if (filters.length === 0) reader.problem('filters', 'must not be empty');
  let terminal: NetworkFilterConfig | undefined;
  for (const filter of filters) {
    const compiled = compileFilter(filter, traits, context);
    if (compiled === undefined) continue;
    if (terminal !== undefined) {
      filter.problem('name', 'nothing may follow http_connection_manager or tcp_proxy');
    }
    terminal = compiled;
  }
  return terminal ?? NOTHING;
}

/** Stands in where a problem was reported. */
const NOTHING: NetworkFilterConfig = {
  kind: 'tcpProxy',
  config: {
    statPrefix: '',
    clusters: [],
    endpoint: '',
    weightTotal: 0,
    idleTimeoutMs: 0,
    connectAttemptsMax: 1,
    accessLogs: [],
  },
};

function compileFilter(
  reader: MessageReader<Filter>,
  traits: ListenerTraits,
  context: CompileContext,
): NetworkFilterConfig | undefined {
  reader.required('name');
  const config = reader.oneof('configType');
  if (config !== undefined && config.$case !== 'typedConfig') {
    reader.unsupportedCase(config, 'typed_config');
    return undefined;
  }
  const path = reader.caseAt('typedConfig');
  const found = reader.unpack(config?.value, path, [HTTP_CONNECTION_MANAGER, TCP_PROXY]);
  switch (found?.name) {
    case HTTP_CONNECTION_MANAGER:
      return {
        kind: 'httpConnectionManager',
        config: compileHttpConnectionManager(found.reader, traits, context),
      };
    case TCP_PROXY:
      return { kind: 'tcpProxy', config: compileTcpProxy(found.reader, traits, context) };
    default:
      return undefined;
  }
}
