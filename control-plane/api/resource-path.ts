import type { Kind } from '../kinds/kind.ts';

/** What a URL under `/apis/` names. */
export type ResourcePath =
  | {
      readonly type: 'collection';
      readonly kind: Kind;
      readonly apiVersion: string;
      /** Undefined = all namespaces. */
      readonly namespace: string | undefined;
    }
  | {
      readonly type: 'object';
      readonly kind: Kind;
      readonly apiVersion: string;
      readonly namespace: string;
      readonly name: string;
    };

/**
 * `/apis/<group>/<version>/<plural>`, `/apis/<group>/<version>/namespaces/<namespace>/<plural>[/<name>]`. Undefined where
 * nothing is served.
 */
export function parseResourcePath(
  kinds: readonly Kind[],
  segments: readonly string[],
): ResourcePath | undefined {
  const [root, group, version, ...rest] = segments;
  if (root !== 'apis' || group === undefined || version === undefined) return undefined;
  const scoped = rest[0] === 'namespaces' && rest.length > 1;
  const [plural, name, ...more] = scoped ? rest.slice(2) : rest;
  const namespace = scoped ? rest[1] : undefined;
  const kind = kinds.find(
    (candidate) =>
      candidate.group === group &&
      candidate.plural === plural &&
      candidate.versions.includes(version),
  );
  if (kind === undefined || more.length > 0) return undefined;
  const apiVersion = `${group}/${version}`;
  if (name === undefined) return { type: 'collection', kind, apiVersion, namespace };
  if (namespace === undefined) return undefined;
  return { type: 'object', kind, apiVersion, namespace, name };
}
