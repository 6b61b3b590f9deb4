import { expect, test } from 'vitest';
import { stringify } from 'yaml';
import { customResourceDefinition } from './custom-resource-definition.ts';
import { KINDS } from './kind-registry.ts';
import { virtualService } from './virtual-service.ts';

interface Definition {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly names: Readonly<Record<string, unknown>>;
    readonly versions: readonly {
      readonly name: string;
      readonly storage: boolean;
      readonly additionalPrinterColumns: readonly { readonly jsonPath: string }[];
      readonly schema: { readonly openAPIV3Schema: Node };
    }[];
  };
}
interface Node {
  readonly type?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: Node;
  readonly items?: Node;
  readonly 'x-kubernetes-preserve-unknown-fields'?: true;
}

/** https://kubernetes.io/docs: the annotation in which client-side apply keeps the whole object. */
const LAST_APPLIED_BYTES_MAX = 262_144;

test.each(KINDS)(
  'the definition of $kind is structural, and keeps what it does not name',
  (kind) => {
    const { metadata, spec } = customResourceDefinition(kind) as Definition;
    expect(metadata.name).toBe(`${kind.plural}.${kind.group}`);
    expect(spec.versions.map(({ name }) => name)).toEqual(kind.versions);
    expect(spec.versions.map(({ storage }) => storage)).toEqual(
      kind.versions.map((_, at) => at === 0),
    );
    let objects = 0;
    const check = (node: Node, path: string): void => {
      const keeps = node['x-kubernetes-preserve-unknown-fields'] === true;
      expect([path, node.type !== undefined || keeps]).toEqual([path, true]);
      expect([
        path,
        node.properties !== undefined && node.additionalProperties !== undefined,
      ]).toEqual([path, false]);
      if (node.properties !== undefined && path !== '') {
        objects++;
        expect([path, keeps]).toEqual([path, true]);
      }
      for (const [name, each] of Object.entries(node.properties ?? {}))
        check(each, `${path}.${name}`);
      if (node.additionalProperties !== undefined) check(node.additionalProperties, `${path}{}`);
      if (node.items !== undefined) check(node.items, `${path}[]`);
    };
    for (const { schema, additionalPrinterColumns } of spec.versions) {
      check(schema.openAPIV3Schema, '');
      expect(additionalPrinterColumns.map(({ jsonPath }) => jsonPath)).toContain(
        '.metadata.creationTimestamp',
      );
    }
    expect(objects).toBeGreaterThan(3);
  },
);

test.each(KINDS)('the definition of $kind can be applied on the client side', (kind) => {
  const text = JSON.stringify(customResourceDefinition(kind));
  expect(text.length).toBeLessThan(LAST_APPLIED_BYTES_MAX);
  expect(stringify(JSON.parse(text)).length).toBeGreaterThan(1000);
});

test('a field that only Istio implements is named with the reason, and passed on to the webhook', () => {
  const { spec } = customResourceDefinition(virtualService) as Definition;
  const properties = spec.versions[0]!.schema.openAPIV3Schema.properties!['spec']!.properties!;
  expect(properties['tcp']).toEqual({
    description: expect.stringContaining('TM-20'),
    'x-kubernetes-preserve-unknown-fields': true,
  });
});
