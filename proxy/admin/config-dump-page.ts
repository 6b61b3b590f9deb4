import type { AdminSource, JsonObject, JsonValue } from './admin-source.ts';
import { type EndpointReply, type EndpointRequest, json, plain } from './http-endpoint.ts';
import { renderSections } from './json-text.ts';
import { compileNameFilter, type NameFilter } from './name-filter.ts';
import { redact } from './redact.ts';

/**
 * `/config_dump[?resource=dynamic_active_clusters][&name_regex=…][&include_eds]`: what is in force,
 * in the shape of `envoy.admin.v3.ConfigDump`. Keys and tokens are redacted.
 */
export function configDumpPage(source: AdminSource, { query }: EndpointRequest): EndpointReply {
  if (query.has('mask')) {
    return plain(
      400,
      'mask is not supported; ask for one list with resource=, e.g. dynamic_listeners\n',
    );
  }
  const named = compileNameFilter(query.get('name_regex'));
  if (typeof named !== 'function') return plain(400, `name_regex: ${named.problem}\n`);
  const resource = query.get('resource');
  const sections = source.configDump({
    includeEndpoints: query.has('include_eds') || resource?.endsWith('_endpoint_configs') === true,
  });
  if (resource === null) return json(renderSections('configs', redacted(sections, named)));
  const found = resourceIn(sections, resource);
  if (found === null) {
    return plain(404, `${resource} is not in the configuration dump; one of ${RESOURCES}\n`);
  }
  return json(renderSections('configs', chosen(found, named)));
}

/** Message of the elements of each list. */
const ELEMENT_TYPES: ReadonlyMap<string, string> = new Map([
  ['static_listeners', 'ListenersConfigDump.StaticListener'],
  ['dynamic_listeners', 'ListenersConfigDump.DynamicListener'],
  ['static_clusters', 'ClustersConfigDump.StaticCluster'],
  ['dynamic_active_clusters', 'ClustersConfigDump.DynamicCluster'],
  ['dynamic_warming_clusters', 'ClustersConfigDump.DynamicCluster'],
  ['static_route_configs', 'RoutesConfigDump.StaticRouteConfig'],
  ['dynamic_route_configs', 'RoutesConfigDump.DynamicRouteConfig'],
  ['static_endpoint_configs', 'EndpointsConfigDump.StaticEndpointConfig'],
  ['dynamic_endpoint_configs', 'EndpointsConfigDump.DynamicEndpointConfig'],
  ['static_secrets', 'SecretsConfigDump.StaticSecret'],
  ['dynamic_active_secrets', 'SecretsConfigDump.DynamicSecret'],
  ['dynamic_warming_secrets', 'SecretsConfigDump.DynamicSecret'],
]);
const RESOURCES = ['bootstrap', ...ELEMENT_TYPES.keys()].join(', ');

/** The elements of a list, or the one message; null where no section has it. */
function resourceIn(sections: Iterable<JsonObject>, resource: string): Iterable<JsonObject> | null {
  const elementType = ELEMENT_TYPES.get(resource);
  if (elementType === undefined && resource !== 'bootstrap') return null;
  for (const section of sections) {
    const value = section[resource];
    if (value === undefined || value === null) continue;
    if (elementType === undefined) {
      const type = 'type.googleapis.com/envoy.config.bootstrap.v3.Bootstrap';
      return [{ '@type': type, ...(value as JsonObject) }];
    }
    const type = `type.googleapis.com/envoy.admin.v3.${elementType}`;
    return (value as readonly JsonObject[]).map((element) => ({ '@type': type, ...element }));
  }
  return elementType === undefined ? null : [];
}

function* redacted(sections: Iterable<JsonObject>, named: NameFilter): Generator<JsonObject> {
  for (const section of sections) {
    const copy = Object.create(null) as Record<string, JsonValue>;
    for (const [key, value] of Object.entries(redact(section))) {
      copy[key] = ELEMENT_TYPES.has(key)
        ? (value as readonly JsonObject[]).filter((element) => named(elementName(element)))
        : value;
    }
    yield copy;
  }
}

function* chosen(elements: Iterable<JsonObject>, named: NameFilter): Generator<JsonObject> {
  for (const element of elements) if (named(elementName(element))) yield redact(element);
}

/** The resource's own name, which stands one level down for most kinds. */
function elementName(element: JsonObject): string {
  if (typeof element['name'] === 'string') return element['name'];
  for (const key of ['cluster', 'listener', 'route_config', 'endpoint_config']) {
    const inner = element[key] as JsonObject | undefined;
    const name = inner?.['name'] ?? inner?.['cluster_name'];
    if (typeof name === 'string') return name;
  }
  return '';
}
