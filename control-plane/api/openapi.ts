import type { Kind } from '../kinds/kind.ts';
import { openApiSchema } from '../kinds/open-api-schema.ts';
import { type ApiReply, json } from './api-routes.ts';

/**
 * `/openapi/v3`: what kubectl needs to know that this server validates by itself (`fieldValidation`), and what
 * `kubectl explain` prints. Undefined = no such document.
 */
export function openApi(
  kinds: readonly Kind[],
  version: string,
  segments: readonly string[],
): ApiReply | undefined {
  const [root, v3, apis, group, apiVersion, ...more] = segments;
  if (root !== 'openapi' || v3 !== 'v3' || more.length > 0) return undefined;
  if (apis === undefined) return json(200, { paths: documents(kinds) });
  const served = kinds.filter(
    (kind) =>
      kind.group === group && apiVersion !== undefined && kind.versions.includes(apiVersion),
  );
  if (apis !== 'apis' || served.length === 0) return undefined;
  const info = { title: 'Weft configuration', version };
  const paths = Object.fromEntries(served.map((kind) => objectPath(kind, apiVersion!)));
  const schemas = Object.fromEntries(served.map((kind) => objectSchema(kind, apiVersion!)));
  return json(200, { openapi: '3.0.0', info, paths, components: { schemas } });
}

function documents(kinds: readonly Kind[]): Record<string, { serverRelativeURL: string }> {
  const found: Record<string, { serverRelativeURL: string }> = {};
  for (const { group, versions } of kinds) {
    for (const version of versions) {
      const name = `apis/${group}/${version}`;
      found[name] = { serverRelativeURL: `/openapi/v3/${name}` };
    }
  }
  return found;
}

function objectPath({ group, kind, plural }: Kind, version: string): [string, object] {
  const query = { in: 'query', schema: { type: 'string', uniqueItems: true } };
  const patch = {
    operationId: `patch${kind}`,
    parameters: ['dryRun', 'fieldManager', 'fieldValidation'].map((name) => ({ name, ...query })),
    responses: { 200: { description: 'OK' } },
    'x-kubernetes-action': 'patch',
    'x-kubernetes-group-version-kind': { group, version, kind },
  };
  return [`/apis/${group}/${version}/namespaces/{namespace}/${plural}/{name}`, { patch }];
}

function objectSchema({ group, kind, doc, spec }: Kind, version: string): [string, object] {
  const text = { type: 'string' };
  const schema = {
    type: 'object',
    description: doc,
    properties: {
      apiVersion: { ...text, description: `${group}/${version}` },
      kind: { ...text, description: kind },
      metadata: { type: 'object', description: 'Name, namespace, labels and annotations.' },
      spec: { description: 'What is wanted.', ...openApiSchema(spec) },
    },
    'x-kubernetes-group-version-kind': [{ group, version, kind }],
  };
  return [`${group.split('.').reverse().join('.')}.${version}.${kind}`, schema];
}
