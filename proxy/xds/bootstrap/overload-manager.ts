import type {
  OverloadManager,
  ResourceMonitor,
} from '../../../proto/gen/envoy/config/overload/v3/overload.ts';
import type { MessageReader } from '../compile/message-reader.ts';

const DOWNSTREAM_CONNECTIONS =
  'envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig';

/**
 * `overload_manager`: connections that all listeners together may hold (A1.5, D13), 0 = not said. The one resource
 * that can be monitored.
 */
export function compileOverloadManager(reader: MessageReader<OverloadManager>): number {
  reader.take('refreshInterval'); // connections are counted, not polled
  const monitors = reader.children('resourceMonitors');
  if (monitors.length === 0) reader.problem('resourceMonitors', 'must not be empty');
  if (monitors.length > 1) {
    monitors[1]!.problem('name', 'one monitor, of downstream connections, is all there can be');
  }
  return monitors.map(compileMonitor)[0] ?? 0;
}

function compileMonitor(reader: MessageReader<ResourceMonitor>): number {
  reader.required('name');
  const set = reader.oneof('configType');
  if (set?.$case !== 'typedConfig') {
    reader.unsupportedCase(set, 'typed_config');
    return 0;
  }
  const found = reader.unpack(set.value, reader.caseAt('typedConfig'), [DOWNSTREAM_CONNECTIONS]);
  if (found === undefined) return 0;
  const connections = found.reader.take('maxActiveDownstreamConnections');
  if (connections >= 1) return connections;
  found.reader.problem('maxActiveDownstreamConnections', `must be at least 1, is ${connections}`);
  return 0;
}
