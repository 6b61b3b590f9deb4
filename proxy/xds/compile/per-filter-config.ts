import type { FieldPath } from '../../../proto/field-path.ts';
import type { Any } from '../../../proto/gen/google/protobuf/any.ts';
import { messageNameOf } from '../../../proto/type-urls.ts';
import type { RbacConfig } from '../../router/rbac-config.ts';
import type { FaultConfig, PerRouteRbac } from '../../router/route-config.ts';
import { compileFault } from './fault.ts';
import type { MessageReader, Unpacked } from './message-reader.ts';
import { compileRbacPerRoute } from './rbac.ts';

const FAULT = 'envoy.extensions.filters.http.fault.v3.HTTPFault';
const RBAC = 'envoy.extensions.filters.http.rbac.v3.RBACPerRoute';
const SUPPORTED = [FAULT, RBAC] as const;
const WRAPPED = 'envoy.config.route.v3.FilterConfig';

interface PerFilterConfig {
  typedPerFilterConfig: Map<string, Any>;
}

/** What a route or virtual host sets for the filters before the router. */
interface FilterSettings {
  readonly fault: FaultConfig | null;
  readonly rbac: PerRouteRbac;
}

/** `typed_per_filter_config` of a route or virtual host: settings that replace a filter's own. */
export function compilePerFilterConfig<T extends PerFilterConfig>(
  reader: MessageReader<T>,
): FilterSettings {
  const of = reader as unknown as MessageReader<PerFilterConfig>;
  const configured = of.take('typedPerFilterConfig');
  if (configured.size === 0) return NO_SETTINGS;
  let fault: FaultConfig | null = null;
  const rbac = new Map<string, RbacConfig | null>();
  for (const [filter, any] of configured) {
    const found = unwrap(of, any, of.at('typedPerFilterConfig', filter));
    if (found?.name === FAULT) fault = compileFault(found.reader);
    else if (found?.name === RBAC) rbac.set(filter, compileRbacPerRoute(found.reader));
  }
  return { fault, rbac };
}

/** Shared by the routes that set nothing, which are nearly all. */
const NO_SETTINGS: FilterSettings = Object.freeze({ fault: null, rbac: new Map() });

/** Undefined: optional and unknown, or a problem. */
function unwrap(
  of: MessageReader<PerFilterConfig>,
  any: Any,
  path: FieldPath,
): Unpacked<(typeof SUPPORTED)[number]> | undefined {
  const found = of.unpack(any, path, [...SUPPORTED, WRAPPED]);
  if (found?.name !== WRAPPED) return found;
  // FilterConfig {config, is_optional}: the same behind one more message.
  const optional = found.reader.bool('isOptional');
  const inner = found.reader.take('config');
  if (optional && inner !== undefined && !isSupported(inner)) return undefined;
  return found.reader.unpack(inner, [...path, 'config'], SUPPORTED);
}

function isSupported(any: Any): boolean {
  return (SUPPORTED as readonly string[]).includes(messageNameOf(any.typeUrl));
}
