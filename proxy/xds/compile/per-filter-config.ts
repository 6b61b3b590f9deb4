import type { FieldPath } from '../../../proto/field-path.ts';
import type { Any } from '../../../proto/gen/google/protobuf/any.ts';
import type { FaultConfig } from '../../router/route-config.ts';
import { compileFault } from './fault.ts';
import type { MessageReader } from './message-reader.ts';

const FAULT = 'envoy.extensions.filters.http.fault.v3.HTTPFault';
const WRAPPED = 'envoy.config.route.v3.FilterConfig';

interface PerFilterConfig {
  typedPerFilterConfig: Map<string, Any>;
}

/** `typed_per_filter_config` of a route, virtual host or weighted cluster: settings that replace a filter's own. */
export function compilePerFilterConfig<T extends PerFilterConfig>(
  reader: MessageReader<T>,
): FaultConfig | null {
  const of = reader as unknown as MessageReader<PerFilterConfig>;
  let fault: FaultConfig | null = null;
  for (const [filter, any] of of.take('typedPerFilterConfig')) {
    fault = compileOne(of, any, of.at('typedPerFilterConfig', filter)) ?? fault;
  }
  return fault;
}

function compileOne(
  of: MessageReader<PerFilterConfig>,
  any: Any,
  path: FieldPath,
): FaultConfig | null {
  const found = of.unpack(any, path, [FAULT, WRAPPED]);
  if (found === undefined) return null;
  if (found.name === FAULT) return compileFault(found.reader);
  // FilterConfig {config, is_optional}: the same behind one more message.
  const optional = found.reader.bool('isOptional');
  const inner = found.reader.take('config');
  if (optional && inner !== undefined && !inner.typeUrl.endsWith(`/${FAULT}`)) return null;
  const unwrapped = found.reader.unpack(inner, [...path, 'config'], [FAULT]);
  return unwrapped === undefined ? null : compileFault(unwrapped.reader);
}
