import { type ApiError, invalid } from './api-error.ts';
import { at, type Fields, isFields, list, object, text, texts } from './fields.ts';
import type { ServedKind } from './served-kind.ts';

/** The kind that a CustomResourceDefinition describes. Throws as the API server refuses one that is not valid. */
export function customKind(definition: Fields): ServedKind {
  const spec = object(definition, 'spec');
  const names = object(spec, 'names');
  const name = text(object(definition, 'metadata'), 'name');
  const [group, plural, kind] = [text(spec, 'group'), text(names, 'plural'), text(names, 'kind')];
  const refuse = (field: string, message: string): ApiError =>
    invalid('CustomResourceDefinition.apiextensions.k8s.io', name, field, message);
  if (group === '' || plural === '' || kind === '') throw refuse('spec.names', 'Required value');
  if (name !== `${plural}.${group}`) {
    throw refuse(
      'metadata.name',
      `Invalid value: "${name}": must be spec.names.plural+"."+spec.group`,
    );
  }
  const versions = list(spec, 'versions').filter(isFields);
  const stored = versions.filter((version) => version['storage'] === true);
  if (stored.length !== 1) {
    throw refuse('spec.versions', 'must have exactly one version marked as storage version');
  }
  for (const [index, version] of versions.entries()) {
    const schema = at(version, ['schema', 'openAPIV3Schema']);
    if (!isFields(schema))
      throw refuse(`spec.versions[${index}].schema`, 'Required value: schemas are required');
    checkStructural(schema, `spec.versions[${index}].schema.openAPIV3Schema`, refuse);
  }
  const served = versions.filter((version) => version['served'] === true);
  const subresources = new Set(
    served.flatMap((version) => Object.keys(object(version, 'subresources'))),
  );
  return {
    group,
    versions: served
      .map((version) => text(version, 'name'))
      .sort((a, b) => versionRank(b) - versionRank(a)),
    kind,
    plural,
    singular: text(names, 'singular') || kind.toLowerCase(),
    shortNames: texts(names, 'shortNames'),
    categories: texts(names, 'categories'),
    namespaced: text(spec, 'scope') === 'Namespaced',
    subresources: [...subresources],
    isVirtual: false,
    isCustom: true,
    fieldSelectors: [],
    columns: list(served[0] ?? {}, 'additionalPrinterColumns').filter(isFields),
  };
}

/** `v1` above `v1beta2` above `v1alpha1`. */
function versionRank(version: string): number {
  const [, major = '0', stage, minor = '0'] = /^v(\d+)(alpha|beta)?(\d*)$/.exec(version) ?? [];
  const stageRank = stage === undefined ? 2 : stage === 'beta' ? 1 : 0;
  return stageRank * 1e6 + Number(major) * 1e3 + Number(minor || 0);
}

/** The rules of a structural schema that are easily broken: a type everywhere, no `$ref`, one of two ways to say properties. */
function checkStructural(
  schema: Fields,
  path: string,
  refuse: (field: string, message: string) => ApiError,
): void {
  if (schema['$ref'] !== undefined) throw refuse(`${path}.$ref`, 'Forbidden: must not be set');
  const isFree =
    schema['x-kubernetes-int-or-string'] === true ||
    schema['x-kubernetes-preserve-unknown-fields'] === true;
  if (typeof schema['type'] !== 'string' && !isFree) {
    throw refuse(`${path}.type`, 'Required value: must not be empty for specified object fields');
  }
  if (schema['properties'] !== undefined && schema['additionalProperties'] !== undefined) {
    throw refuse(
      `${path}.additionalProperties`,
      'Forbidden: additionalProperties and properties are mutual exclusive',
    );
  }
  if (schema['type'] === 'array' && !isFields(schema['items'])) {
    throw refuse(`${path}.items`, 'Required value: must be specified');
  }
  for (const [name, property] of Object.entries(object(schema, 'properties'))) {
    if (isFields(property)) checkStructural(property, `${path}.properties[${name}]`, refuse);
  }
  for (const name of ['items', 'additionalProperties']) {
    const child = schema[name];
    if (isFields(child)) checkStructural(child, `${path}.${name}`, refuse);
  }
}
