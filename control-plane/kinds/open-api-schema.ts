import type { FieldNode, ObjectNode, SchemaNode, TextNode } from './schema.ts';

/**
 * What a reader of the schema does with a field that it does not name. `refused`: our own API server, which says so
 * itself. `preserved`: the Kubernetes API server, which would drop it in silence before anybody could say something;
 * it keeps the field, and the validating webhook gives the error that `weft apply` gives.
 */
export type UnknownFields = 'refused' | 'preserved';

/**
 * The schema as OpenAPI 3 has it, in the structural form that CustomResourceDefinitions ask for: for `kubectl explain`,
 * CRDs and documentation. It says less than `validate`: rules between fields and grammars of strings stay there.
 */
export function openApiSchema(
  node: SchemaNode,
  unknown: UnknownFields = 'refused',
): Record<string, unknown> {
  switch (node.type) {
    case 'boolean':
      return { type: 'boolean' };
    case 'integer':
      return node.values === undefined
        ? { type: 'integer', minimum: node.min, maximum: node.max }
        : { type: 'integer', enum: node.values };
    case 'number':
      return { type: 'number', minimum: node.min, maximum: node.max };
    case 'string':
      return textSchema(node, unknown);
    case 'list':
      return {
        type: 'array',
        items: openApiSchema(node.items, unknown),
        ...(node.itemsMin > 0 ? { minItems: node.itemsMin } : {}),
        maxItems: node.itemsMax,
      };
    case 'map':
      return {
        type: 'object',
        additionalProperties: openApiSchema(node.values, unknown),
        maxProperties: node.entriesMax,
      };
    case 'object':
      return objectSchema(node, unknown);
  }
}

function textSchema(node: TextNode, unknown: UnknownFields): Record<string, unknown> {
  if (node.values === undefined) return { type: 'string' };
  const others = unknown === 'preserved' ? Object.keys(node.unsupportedValues ?? {}) : [];
  return { type: 'string', enum: [...node.values, ...Object.keys(node.aliases ?? {}), ...others] };
}

function objectSchema(node: ObjectNode, unknown: UnknownFields): Record<string, unknown> {
  const fields = [...node.fields];
  const needed = fields.filter(([, { presence }]) => presence === 'required');
  const preserve = { 'x-kubernetes-preserve-unknown-fields': true };
  const properties: Record<string, unknown> = Object.fromEntries(
    fields.map(([name, field]) => [name, property(field, unknown)]),
  );
  if (unknown === 'preserved') {
    for (const [name, reason] of node.unsupported) {
      properties[name] = { description: `Refused: ${reason}.`, ...preserve };
    }
  }
  return {
    type: 'object',
    properties,
    ...(needed.length > 0 ? { required: needed.map(([name]) => name) } : {}),
    ...(unknown === 'preserved' ? preserve : {}),
  };
}

function property(
  { schema, doc, presence, value }: FieldNode,
  unknown: UnknownFields,
): Record<string, unknown> {
  const shown = presence === 'default' ? `${doc} Default: ${JSON.stringify(value)}.` : doc;
  return { description: shown, ...openApiSchema(schema, unknown) };
}
