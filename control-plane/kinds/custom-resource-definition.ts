import type { Kind, PrinterColumn } from './kind.ts';
import { openApiSchema } from './open-api-schema.ts';

/**
 * The kind as a CustomResourceDefinition (apiextensions.k8s.io/v1) under Istio's group name, so that objects and tools
 * which people have fit. Structural; fields that it does not name are kept, so that the validating webhook can refuse
 * them with the words of `weft apply` where the API server would have dropped them in silence.
 */
export function customResourceDefinition(kind: Kind) {
  const { group, plural, singular, shortNames, versions } = kind;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: `${plural}.${group}`,
      labels: { 'app.kubernetes.io/part-of': 'weft' },
      // Policies outlive an uninstall, as people expect of their own objects.
      annotations: { 'helm.sh/resource-policy': 'keep' },
    },
    spec: {
      group,
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural,
        singular,
        shortNames,
        categories: ['weft', group.replaceAll('.', '-')],
      },
      scope: 'Namespaced',
      versions: versions.map((name, at) => version(kind, name, at === 0)),
    },
  };
}

function version(kind: Kind, name: string, storage: boolean): object {
  return {
    name,
    served: true,
    storage,
    additionalPrinterColumns: kind.printerColumns.map(printerColumn),
    subresources: { status: {} },
    schema: {
      openAPIV3Schema: {
        type: 'object',
        description: kind.doc,
        properties: {
          spec: {
            description: 'What is wanted.',
            ...openApiSchema(kind.spec, 'preserved'),
          },
          status: STATUS,
        },
        ...(kind.specOptional ? {} : { required: ['spec'] }),
      },
    },
  };
}

function printerColumn({ name, type, doc, path, priority }: PrinterColumn): object {
  return {
    name,
    type,
    description: doc,
    jsonPath: `.${path.join('.')}`,
    ...(priority > 0 ? { priority } : {}),
  };
}

/** As Istio's `IstioStatus`; other writers may add to it. */
const STATUS = {
  type: 'object',
  description: 'What the control plane says about the object.',
  'x-kubernetes-preserve-unknown-fields': true,
  properties: {
    observedGeneration: {
      type: 'integer',
      format: 'int64',
      description: 'Generation that the conditions are about.',
    },
    conditions: {
      type: 'array',
      description: 'Whether the object is in use.',
      items: {
        type: 'object',
        'x-kubernetes-preserve-unknown-fields': true,
        properties: {
          type: { type: 'string', description: 'Name of the condition.' },
          status: { type: 'string', description: 'True, False or Unknown.' },
          reason: { type: 'string', description: 'One word for programs.' },
          message: { type: 'string', description: 'For people.' },
          lastTransitionTime: {
            type: 'string',
            format: 'date-time',
            description: 'When the status changed.',
          },
        },
      },
    },
  },
};
