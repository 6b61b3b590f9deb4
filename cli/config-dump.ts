/**
 * Reads a sidecar's admin port. The shapes are Envoy's proto-JSON (admin.v3), of which only the fields shown are named;
 * everything may be absent, for it comes from another program.
 */
export interface ConfigDump {
  readonly listeners: readonly Json[];
  readonly routes: readonly Json[];
  readonly clusters: readonly Json[];
  /** ClusterLoadAssignments. */
  readonly endpoints: readonly Json[];
}

export type Json = { readonly [name: string]: JsonValue };
export type JsonValue = string | number | boolean | null | Json | readonly JsonValue[] | undefined;

/** Takes the listeners, routes, clusters and endpoints out of a `/config_dump?include_eds`. */
export function parseConfigDump(dump: JsonValue): ConfigDump {
  const listeners: Json[] = [];
  const routes: Json[] = [];
  const clusters: Json[] = [];
  const endpoints: Json[] = [];
  const collect = (into: Json[], value: JsonValue) => {
    const resource = object(value);
    if (Object.keys(resource).length > 0) into.push(resource);
  };
  for (const config of list(object(dump)['configs']).map(object)) {
    for (const entry of list(config['static_listeners']))
      collect(listeners, object(entry)['listener']);
    for (const entry of list(config['dynamic_listeners'])) {
      collect(listeners, object(object(entry)['active_state'])['listener']);
    }
    for (const name of ['static_clusters', 'dynamic_active_clusters']) {
      for (const entry of list(config[name])) collect(clusters, object(entry)['cluster']);
    }
    for (const name of ['static_route_configs', 'dynamic_route_configs']) {
      for (const entry of list(config[name])) collect(routes, object(entry)['route_config']);
    }
    for (const name of ['static_endpoint_configs', 'dynamic_endpoint_configs']) {
      for (const entry of list(config[name])) collect(endpoints, object(entry)['endpoint_config']);
    }
  }
  return { listeners, routes, clusters, endpoints };
}

/** A member that should be an object; anything else is an empty one. */
export function object(value: JsonValue): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Json)
    : {};
}

export function list(value: JsonValue): readonly JsonValue[] {
  return Array.isArray(value) ? value : [];
}

export function text(value: JsonValue): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}
