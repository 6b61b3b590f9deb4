import { DNS_LABEL, DNS_SUBDOMAIN, LABEL_KEY, LABEL_VALUE } from './name-format.ts';
import type { ManifestMeta, StringMap } from './resource.ts';
import { ENTRIES_MAX, type Fields, type SchemaNode, text } from './schema.ts';
import { type Findings, nearestField, validate } from './validate.ts';

/** UTF-16 units of all annotations of one object together; Kubernetes' bound is 256 KiB. */
const ANNOTATIONS_CHARS_MAX = 256 * 1024;

const labels: SchemaNode = {
  type: 'map',
  keys: LABEL_KEY,
  values: text({ format: LABEL_VALUE, mayBeEmpty: true }),
  entriesMax: ENTRIES_MAX,
};
const annotations: SchemaNode = {
  type: 'map',
  keys: LABEL_KEY,
  values: text({ charsMax: ANNOTATIONS_CHARS_MAX, mayBeEmpty: true }),
  entriesMax: ENTRIES_MAX,
};

/** Set by servers and found in what `get -o yaml` prints: read over, so that a printed object can be applied again. */
const SERVER_OWNED = new Set(['creationTimestamp', 'generation', 'managedFields', 'selfLink']);

const UNSUPPORTED: ReadonlyMap<string, string> = new Map([
  ['generateName', 'give the object a name'],
  ['finalizers', 'deletion is immediate'],
  ['ownerReferences', 'no object is deleted along with another one'],
  ['deletionTimestamp', 'deletion is immediate'],
  ['deletionGracePeriodSeconds', 'deletion is immediate'],
]);

const FIELDS: ReadonlyMap<string, SchemaNode> = new Map<string, SchemaNode>([
  ['name', text({ format: DNS_SUBDOMAIN })],
  ['namespace', text({ format: DNS_LABEL })],
  ['labels', labels],
  ['annotations', annotations],
  ['resourceVersion', text({ charsMax: 32, mayBeEmpty: true })],
  ['uid', text({ charsMax: 64, mayBeEmpty: true })],
]);

/** Reads `metadata`; what is wrong goes to `findings`. Null where there is no use going on. */
export function readMetadata(value: unknown, findings: Findings): ManifestMeta | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const message = value === undefined ? 'metadata is required' : 'must be an object with a name';
    findings.push({ path: ['metadata'], at: 'value', code: 'required', message });
    return undefined;
  }
  const read: Fields = {};
  for (const [name, item] of Object.entries(value)) {
    const path = ['metadata', name];
    const schema = FIELDS.get(name);
    const empty = item === null || (Array.isArray(item) && item.length === 0);
    if (schema !== undefined) {
      if (!(item === null && (name === 'labels' || name === 'annotations'))) {
        read[name] = validate(schema, item, path, findings);
      }
    } else if (UNSUPPORTED.has(name)) {
      const message = `not supported by Weft: ${UNSUPPORTED.get(name)}`;
      if (!empty) findings.push({ path, at: 'name', code: 'unsupportedField', message });
    } else if (!SERVER_OWNED.has(name)) {
      const suggestion = nearestField(name, [...FIELDS.keys()]);
      const found = { path, at: 'name', code: 'unknownField', message: 'unknown field' } as const;
      findings.push(suggestion === undefined ? found : { ...found, suggestion });
    }
  }
  if (!Object.hasOwn(value, 'name')) {
    findings.push({
      path: ['metadata'],
      at: 'name',
      code: 'required',
      message: 'name is required',
    });
  }
  return {
    name: (read['name'] as string | undefined) ?? '',
    namespace: read['namespace'] as string | undefined,
    labels: (read['labels'] as StringMap | undefined) ?? EMPTY,
    annotations: (read['annotations'] as StringMap | undefined) ?? EMPTY,
    resourceVersion: orAbsent(read['resourceVersion']),
    uid: orAbsent(read['uid']),
  };
}

const EMPTY: StringMap = Object.freeze(Object.create(null) as Record<string, string>);

function orAbsent(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
