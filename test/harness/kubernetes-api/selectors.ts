import type { KubernetesObject } from '../../../control-plane/kubernetes/kubernetes-object.ts';
import { badRequest } from './api-error.ts';
import { at, type Fields, isFields, list, object, text, texts } from './fields.ts';
import type { ServedKind } from './served-kind.ts';

export type ObjectTest = (object: KubernetesObject) => boolean;
type Labels = Readonly<Record<string, unknown>>;

/** `labelSelector` and `fieldSelector` of a request. */
export function selectorOf(kind: ServedKind, query: URLSearchParams): ObjectTest {
  const byLabels = labelTest(query.get('labelSelector') ?? '');
  const fields = split(query.get('fieldSelector') ?? '').map((part) => fieldTest(kind, part));
  return (object) => byLabels(object.metadata.labels ?? {}) && fields.every((test) => test(object));
}

function labelTest(selector: string): (labels: Labels) => boolean {
  const tests = split(selector).map(requirement);
  return (labels) => tests.every((test) => test(labels));
}

/** A `LabelSelector` object; an empty one selects everything. */
export function matchesLabelSelector(selector: Fields, labels: Labels): boolean {
  for (const [name, value] of Object.entries(object(selector, 'matchLabels'))) {
    if (labels[name] !== value) return false;
  }
  return list(selector, 'matchExpressions')
    .filter(isFields)
    .every((expression) => {
      const value = labels[text(expression, 'key')];
      const values = texts(expression, 'values');
      switch (expression['operator']) {
        case 'In':
          return typeof value === 'string' && values.includes(value);
        case 'NotIn':
          return typeof value !== 'string' || !values.includes(value);
        case 'Exists':
          return value !== undefined;
        case 'DoesNotExist':
          return value === undefined;
        default:
          throw badRequest(
            `"${String(expression['operator'])}" is not a valid label selector operator`,
          );
      }
    });
}

function split(selector: string): string[] {
  return selector
    .split(/,(?![^(]*\))/)
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function requirement(part: string): (labels: Labels) => boolean {
  const equality = /^([^\s=!]+)\s*(==|=|!=)\s*([^\s=!]*)$/.exec(part);
  if (equality !== null) {
    const [, key, operator, value] = equality;
    return (labels) => (labels[key!] === value) === (operator !== '!=');
  }
  const set = /^(\S+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(part);
  if (set !== null) {
    const values = set[3]!.split(',').map((value) => value.trim());
    return (labels) => {
      const value = labels[set[1]!];
      return (typeof value === 'string' && values.includes(value)) === (set[2] === 'in');
    };
  }
  const presence = /^(!?)\s*([A-Za-z0-9][\w./-]*)$/.exec(part);
  if (presence === null) throw badRequest(`unable to parse requirement: ${part}`);
  return (labels) => (labels[presence[2]!] === undefined) === (presence[1] === '!');
}

function fieldTest(kind: ServedKind, part: string): ObjectTest {
  const match = /^([\w.]+)\s*(==|=|!=)\s*(.*)$/.exec(part);
  if (match === null) throw badRequest(`invalid field selector: ${part}`);
  const [, field, operator, value] = match;
  const known = ['metadata.name', 'metadata.namespace', ...kind.fieldSelectors];
  if (!known.includes(field!)) throw badRequest(`field label not supported: ${field}`);
  const path = field!.split('.');
  return (object) => (String(at(object, path) ?? '') === value) === (operator !== '!=');
}
