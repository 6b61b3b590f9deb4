import { expect, test } from 'vitest';
import { KINDS } from './kind-registry.ts';
import { openApiSchema } from './open-api-schema.ts';

test.each(KINDS)('$kind has a structural schema in which every field is described', ({ spec }) => {
  let fields = 0;
  const check = (schema: Record<string, unknown>, path: string) => {
    expect([path, schema['type']]).toEqual([
      path,
      expect.stringMatching(/^(object|array|string|integer|number|boolean)$/),
    ]);
    const { properties, items, additionalProperties } = schema as Record<string, never>;
    // CRDs allow one of them only.
    expect(properties !== undefined && additionalProperties !== undefined).toBe(false);
    for (const [name, field] of Object.entries<Record<string, unknown>>(properties ?? {})) {
      fields++;
      expect([`${path}.${name}`, field['description']]).toEqual([
        `${path}.${name}`,
        expect.stringMatching(/\S.*\.$/s),
      ]);
      check(field, `${path}.${name}`);
    }
    if (items !== undefined) check(items, `${path}[]`);
    if (additionalProperties !== undefined) check(additionalProperties, `${path}{}`);
  };
  check(openApiSchema(spec), 'spec');
  expect(fields).toBeGreaterThan(3);
});
