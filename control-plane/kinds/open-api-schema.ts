import type { FieldNode, SchemaNode } from './schema.ts';

/**
 * The schema as OpenAPI 3 has it, in the structural form that CustomResourceDefinitions ask for: for `kubectl explain`,
 * CRDs and documentation. It says less than `validate`: rules between fields and grammars of strings stay there.
 */
export function openApiSchema(node: SchemaNode): Record<string, unknown> {
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
      if (node.values === undefined) return { type: 'string' };
      return { type: 'string', enum: [...node.values, ...Object.keys(node.aliases ?? {})] };
    case 'list':
      return {
        type: 'array',
        items: openApiSchema(node.items),
        ...(node.itemsMin > 0 ? { minItems: node.itemsMin } : {}),
        maxItems: node.itemsMax,
      };
    case 'map':
      return {
        type: 'object',
        additionalProperties: openApiSchema(node.values),
        maxProperties: node.entriesMax,
      };
    case 'object': {
      const fields = [...node.fields];
      const needed = fields.filter(([, { presence }]) => presence === 'required');
      return {
        type: 'object',
        properties: Object.fromEntries(fields.map(([name, field]) => [name, property(field)])),
        ...(needed.length > 0 ? { required: needed.map(([name]) => name) } : {}),
      };
    }
  }
}

function property({ schema, doc, presence, value }: FieldNode): Record<string, unknown> {
  const shown = presence === 'default' ? `${doc} Default: ${JSON.stringify(value)}.` : doc;
  return { description: shown, ...openApiSchema(schema) };
}
