import { jsonEqual } from '../api/json-value.ts';
import { refused } from '../api/status.ts';
import { readDocuments } from '../kinds/documents.ts';
import { isMeshGroup } from '../kinds/kind-registry.ts';
import { type Problem, printable } from '../kinds/problem.ts';
import { type Fields, isFields } from '../kinds/schema.ts';
import {
  type AdmissionAnswer,
  type AdmissionRequest,
  allowed,
  describeKind,
} from './admission-review.ts';

/**
 * `POST /validate`: what `weft apply` would refuse is refused here, in the same words and with the same causes. Holds no
 * state. An object that is on its way out, or whose spec does not change, is let through even where it is not valid: it
 * may be older than the rule, and its labels and finalizers must stay within reach; the problems come as warnings.
 */
export function validatePolicy(request: AdmissionRequest): AdmissionAnswer {
  const { operation, subResource, kind: gvk, object, oldObject } = request;
  if (operation === 'DELETE' || operation === 'CONNECT' || subResource !== '') return allowed();
  if (!isMeshGroup(gvk.group)) {
    const warning = `weft checks mesh policies only, not ${describeKind(gvk)}: the rules of its webhook configuration are too wide`;
    return allowed({}, [warning]);
  }
  const problems = problemsOf(object);
  if (problems.length === 0) return allowed();
  if (operation === 'UPDATE' && (isLeaving(object) || specUnchanged(object, oldObject))) {
    return allowed({}, [`not in force: ${lines(problems).join('; ')}`]);
  }
  const named = { kind: printable(gvk.kind), group: gvk.group };
  const name = printable(request.name || nameOf(object), 253);
  return { kind: 'refused', status: refused(named, name, problems).body as object, warnings: [] };
}

/** What is wrong with an object of the cluster, as `apply` says it; empty = it holds in the mesh. */
function problemsOf(object: unknown): readonly Problem[] {
  const { problems } = readDocuments(JSON.stringify(withoutServerFields(object)), 'object', 0);
  // Lines and columns of JSON that nobody wrote say nothing.
  return problems.map((problem) => ({ ...problem, line: 0, column: 0 }));
}

/** Fields of metadata that a file may not have and that Kubernetes' own server or its controllers set. */
const SERVER_FIELDS = [
  'generateName',
  'finalizers',
  'ownerReferences',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
];

function withoutServerFields(object: unknown): unknown {
  if (!isFields(object) || !isFields(object['metadata'])) return object;
  const metadata: Fields = { ...object['metadata'] };
  // The server makes the name after the webhooks have been asked.
  if (typeof metadata['generateName'] === 'string' && (metadata['name'] ?? '') === '') {
    metadata['name'] = `${metadata['generateName']}x`;
  }
  for (const name of SERVER_FIELDS) delete metadata[name];
  return { ...object, metadata };
}

function lines(problems: readonly Problem[]): string[] {
  return problems.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
}

function isLeaving(object: unknown): boolean {
  return isFields(object) && isFields(object['metadata'])
    ? typeof object['metadata']['deletionTimestamp'] === 'string'
    : false;
}

function specUnchanged(object: unknown, oldObject: unknown): boolean {
  return isFields(object) && isFields(oldObject) && jsonEqual(object['spec'], oldObject['spec']);
}

function nameOf(object: unknown): string {
  const metadata = isFields(object) ? object['metadata'] : undefined;
  const name = isFields(metadata) ? metadata['name'] : undefined;
  return typeof name === 'string' ? name : '';
}
