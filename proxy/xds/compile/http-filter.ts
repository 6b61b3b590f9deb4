import type {
  HttpConnectionManager,
  HttpFilter,
} from '../../../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts';
import { messageNameOf } from '../../../proto/type-urls.ts';
import type { HttpFilterConfig } from '../../connection-manager/connection-manager-config.ts';
import { compileFault } from './fault.ts';
import type { MessageReader } from './message-reader.ts';
import { compileRbac, NO_RBAC } from './rbac.ts';

const ROUTER = 'envoy.extensions.filters.http.router.v3.Router';
const FAULT = 'envoy.extensions.filters.http.fault.v3.HTTPFault';
const GRPC_WEB = 'envoy.extensions.filters.http.grpc_web.v3.GrpcWeb';
const RBAC = 'envoy.extensions.filters.http.rbac.v3.RBAC';
/** The filters there are: a new one is a line here, a case below and a file in `filter/`. */
const SUPPORTED = [ROUTER, FAULT, GRPC_WEB, RBAC] as const;

/**
 * `http_filters`, in order, the router last. An explicit proxy cannot authorize: the bytes in a CONNECT tunnel would
 * pass unjudged.
 */
export function compileHttpFilters(
  reader: MessageReader<HttpConnectionManager>,
  explicitProxy: boolean,
): HttpFilterConfig[] {
  const filters: HttpFilterConfig[] = [];
  const names = new Set<string>();
  for (const filter of reader.children('httpFilters')) {
    const name = filter.required('name');
    if (names.has(name)) filter.problem('name', `"${name}" stands here twice`);
    names.add(name);
    const compiled = compileHttpFilter(filter, name);
    if (compiled?.kind === 'rbac' && explicitProxy) {
      const why = 'an explicit proxy carries tunnels, which rules do not see; remove the filter';
      filter.problems.add(filter.caseAt('typedConfig'), why);
    }
    if (compiled !== null) filters.push(compiled);
  }
  const routerAt = filters.findIndex(({ kind }) => kind === 'router');
  if (routerAt < 0) reader.problem('httpFilters', 'must end with the router filter');
  else if (routerAt !== filters.length - 1) {
    reader.problem('httpFilters', 'the router must be the last filter');
  }
  return filters;
}

/**
 * Null: skipped, because it is optional and unknown, or disabled and nothing that a route could enable. A disabled filter
 * that routes have settings for does nothing but by those.
 */
function compileHttpFilter(
  reader: MessageReader<HttpFilter>,
  name: string,
): HttpFilterConfig | null {
  const optional = reader.bool('isOptional');
  const disabled = reader.bool('disabled');
  const config = reader.oneof('configType');
  if (config?.$case !== 'typedConfig') {
    if (optional) return null;
    reader.unsupportedCase(config, 'typed_config');
    return null;
  }
  const type = messageNameOf(config.value.typeUrl);
  if ((optional || disabled) && !SUPPORTED.includes(type as typeof ROUTER)) return null;
  const found = reader.unpack(config.value, reader.caseAt('typedConfig'), SUPPORTED);
  if (found === undefined) return null;
  switch (found.name) {
    case ROUTER:
      return disabled ? null : { kind: 'router' };
    case FAULT: {
      const fault = compileFault(found.reader);
      return { kind: 'fault', name, fault: disabled ? null : fault };
    }
    case GRPC_WEB:
      return disabled ? null : { kind: 'grpcWeb', name };
    case RBAC: {
      const { rbac, stats } = compileRbac(found.reader);
      return { kind: 'rbac', name, rbac: disabled ? NO_RBAC : rbac, stats };
    }
    default:
      return null;
  }
}
