import type { Resource } from '../kinds/resource.ts';

/** Which objects of a list or watch are wanted. */
export type Selector = (resource: Resource) => boolean;

export type ParsedSelector =
  | { readonly kind: 'ok'; readonly selector: Selector | undefined }
  | { readonly kind: 'invalid'; readonly message: string };

/** Requirements of one selector; more is an accident. */
const REQUIREMENTS_MAX = 64;

/** `labelSelector` and `fieldSelector` of the query; undefined where all are wanted. */
export function parseSelectors(query: URLSearchParams): ParsedSelector {
  const tests: Selector[] = [];
  for (const text of splitRequirements(query.get('labelSelector') ?? '')) {
    const test = labelRequirement(text);
    if (test === undefined)
      return invalid(`labelSelector: "${text}" is no requirement such as app=reviews`);
    tests.push(test);
  }
  for (const text of splitRequirements(query.get('fieldSelector') ?? '')) {
    const test = fieldRequirement(text);
    if (test === undefined) {
      return invalid(
        `fieldSelector: "${text}" is not supported; use metadata.name= or metadata.namespace=`,
      );
    }
    tests.push(test);
  }
  if (tests.length > REQUIREMENTS_MAX) return invalid(`more than ${REQUIREMENTS_MAX} requirements`);
  if (tests.length === 0) return { kind: 'ok', selector: undefined };
  return { kind: 'ok', selector: (resource) => tests.every((test) => test(resource)) };
}

function invalid(message: string): ParsedSelector {
  return { kind: 'invalid', message };
}

/** At commas, but not at those inside of `in (a,b)`. */
function splitRequirements(text: string): string[] {
  return text
    .split(/,(?![^(]*\))/)
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

const KEY = '([A-Za-z0-9][-A-Za-z0-9_./]*)';
const EQUALITY = new RegExp(`^${KEY}\\s*(==|=|!=)\\s*([-A-Za-z0-9_.]*)$`);
const MEMBERSHIP = new RegExp(`^${KEY}\\s+(in|notin)\\s+\\(([-A-Za-z0-9_.,\\s]*)\\)$`);
const PRESENCE = new RegExp(`^(!?)\\s*${KEY}$`);

function labelRequirement(text: string): Selector | undefined {
  const equality = EQUALITY.exec(text);
  if (equality !== null) {
    const [, key, operator, value] = equality;
    const wanted = operator !== '!=';
    return ({ metadata }) => (metadata.labels[key!] === value) === wanted;
  }
  const membership = MEMBERSHIP.exec(text);
  if (membership !== null) {
    const [, key, operator, list] = membership;
    const values = new Set(list!.split(',').map((value) => value.trim()));
    return ({ metadata }) => {
      const value = metadata.labels[key!];
      return (value !== undefined && values.has(value)) === (operator === 'in');
    };
  }
  const presence = PRESENCE.exec(text);
  if (presence === null) return undefined;
  const [, not, key] = presence;
  return ({ metadata }) => (metadata.labels[key!] === undefined) === (not === '!');
}

function fieldRequirement(text: string): Selector | undefined {
  const match = /^metadata\.(name|namespace)\s*(==|=|!=)\s*([-a-z0-9.]*)$/.exec(text);
  if (match === null) return undefined;
  const field = match[1] as 'name' | 'namespace';
  return ({ metadata }) => (metadata[field] === match[3]) === (match[2] !== '!=');
}
