import type { Listener } from '../../../proto/gen/envoy/config/listener/v3/listener.ts';
import type { ListenerFilter } from '../../../proto/gen/envoy/config/listener/v3/listener_components.ts';
import type { FilterChainConfig, ListenerConfig } from '../../listener/listener-config.ts';
import type { HostPort } from '../../tcp/socket-address.ts';
import { compileAccessLogs } from './access-log.ts';
import { compileAddress } from './address.ts';
import type { CompileContext } from './compile-context.ts';
import { compileFilterChain } from './filter-chain.ts';
import type { ListenerTraits } from './http-connection-manager.ts';
import { MessageReader } from './message-reader.ts';
import { type Compiled, Problems } from './problems.ts';

/** The listener that apps name in HTTP_PROXY; see docs/architecture.md. */
const EXPLICIT_PROXY_LISTENER = 'virtualOutbound';

/** An LDS resource or a static listener. */
export function compileListener(
  message: Listener,
  version: string,
  context: CompileContext,
): Compiled<ListenerConfig> {
  const problems = new Problems();
  const reader = new MessageReader(
    problems,
    'envoy.config.listener.v3.Listener',
    message,
    context.root,
  );
  const name = reader.required('name');
  const address = reader.child('address');
  if (address === undefined) reader.problem('address', 'must be set');
  const { host, port } = compileAddress(address, 'ip');
  const metadata = reader.take('metadata');
  const traits: ListenerTraits = {
    direction: reader.choice<ListenerConfig['direction']>(
      'trafficDirection',
      [
        [0, 'UNSPECIFIED', 'UNSPECIFIED'],
        [1, 'INBOUND', 'INBOUND'],
        [2, 'OUTBOUND', 'OUTBOUND'],
      ],
      'UNSPECIFIED',
    ),
    explicitProxy: isExplicitProxy(name, metadata),
    dialledEndpoint: String(metadata?.filterMetadata.get('weft')?.['dialled_endpoint'] ?? ''),
    version,
  };
  const chains = reader.children('filterChains');
  const fallback = reader.child('defaultFilterChain');
  if (chains.length === 0 && fallback === undefined) {
    reader.problem('filterChains', 'must not be empty without default_filter_chain');
  }
  const filters = compileListenerFilters(reader);
  const filterChains = chains.map((chain) => compileFilterChain(chain, traits, context));
  checkChainsDiffer(reader, filterChains);
  const config: ListenerConfig = {
    name,
    version,
    address: host,
    port,
    additionalAddresses: compileAdditionalAddresses(reader),
    bindToPort: reader.bool('bindToPort', true),
    ignoresConnectionsMax: reader.bool('ignoreGlobalConnLimit'),
    direction: traits.direction,
    ...filters,
    useOriginalDst: reader.bool('useOriginalDst') || filters.useOriginalDst,
    inspectTimeoutMs: reader.durationMs('listenerFiltersTimeout', 15_000),
    continueOnInspectTimeout: reader.bool('continueOnListenerFiltersTimeout'),
    bufferBytesMax: reader.integer('perConnectionBufferLimitBytes', {
      min: 1024,
      max: 1 << 30,
      fallback: 1 << 20,
    }),
    filterChains,
    defaultFilterChain:
      fallback === undefined ? null : compileFilterChain(fallback, traits, context),
    accessLogs: compileAccessLogs(reader.children('accessLog'), context),
  };
  reader.finish();
  return problems.finish(config);
}

function compileAdditionalAddresses(reader: MessageReader<Listener>): HostPort[] {
  return reader.children('additionalAddresses').map((additional) => {
    const address = additional.child('address');
    if (address === undefined) additional.problem('address', 'must be set');
    return compileAddress(address, 'ip');
  });
}

function isExplicitProxy(name: string, metadata: Listener['metadata']): boolean {
  const marker = metadata?.filterMetadata.get('weft')?.['explicit_proxy'];
  return name === EXPLICIT_PROXY_LISTENER && marker === true;
}

type Inspection = Pick<ListenerConfig, 'inspectTls' | 'inspectHttp' | 'useOriginalDst'>;

const TLS_INSPECTOR = 'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector';
const HTTP_INSPECTOR = 'envoy.extensions.filters.listener.http_inspector.v3.HttpInspector';
const ORIGINAL_DST = 'envoy.extensions.filters.listener.original_dst.v3.OriginalDst';

function compileListenerFilters(reader: MessageReader<Listener>): Inspection {
  let inspectTls = false;
  let inspectHttp = false;
  let useOriginalDst = false;
  for (const filter of reader.children('listenerFilters')) {
    const found = unpackListenerFilter(filter);
    inspectTls ||= found === TLS_INSPECTOR;
    inspectHttp ||= found === HTTP_INSPECTOR;
    useOriginalDst ||= found === ORIGINAL_DST;
  }
  return { inspectTls, inspectHttp, useOriginalDst };
}

function unpackListenerFilter(reader: MessageReader<ListenerFilter>): string {
  reader.required('name');
  const config = reader.oneof('configType');
  if (config !== undefined && config.$case !== 'typedConfig') {
    reader.unsupportedCase(config, 'typed_config');
    return '';
  }
  const types = [TLS_INSPECTOR, HTTP_INSPECTOR, ORIGINAL_DST] as const;
  const found = reader.unpack(config?.value, reader.caseAt('typedConfig'), types);
  return found?.name ?? '';
}

/** Two chains with one match: which of them takes a connection would be nobody's to guess. */
function checkChainsDiffer(
  reader: MessageReader<Listener>,
  chains: readonly FilterChainConfig[],
): void {
  const seen = new Map<string, number>();
  chains.forEach(({ match }, index) => {
    const key = JSON.stringify(match);
    const first = seen.get(key);
    if (first !== undefined) {
      const path = reader.at('filterChains', index, 'filter_chain_match');
      reader.problems.add(path, `is the same as that of filter_chains[${first}]`);
    }
    seen.set(key, index);
  });
}
