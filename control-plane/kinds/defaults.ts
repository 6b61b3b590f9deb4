import type { Fields, SchemaNode } from './schema.ts';

/**
 * The validated `value` with every default filled in, deeply frozen: what the mesh reads. The value itself is not
 * touched; it stays what its author wrote.
 */
export function applyDefaults(node: SchemaNode, value: unknown): unknown {
  switch (node.type) {
    case 'list': {
      const items = value as readonly unknown[];
      return Object.freeze(items.map((item) => applyDefaults(node.items, item)));
    }
    case 'map': {
      const copy: Fields = Object.create(null);
      for (const [key, item] of Object.entries(value as Fields)) {
        copy[key] = applyDefaults(node.values, item);
      }
      return Object.freeze(copy);
    }
    case 'object': {
      const given = value as Fields;
      const copy: Fields = {};
      for (const [name, field] of node.fields) {
        const item = Object.hasOwn(given, name) ? given[name] : field.value;
        if (item !== undefined) copy[name] = applyDefaults(field.schema, item);
      }
      return Object.freeze(node.complete(copy));
    }
    case 'string':
      return node.aliases !== undefined && Object.hasOwn(node.aliases, value as string)
        ? node.aliases[value as string]
        : value;
    default:
      return value;
  }
}
