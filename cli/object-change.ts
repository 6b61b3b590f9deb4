import { isDeepStrictEqual } from 'node:util';
import type { Resource } from '../control-plane/kinds/resource.ts';

/** What a person writes of an object: what `apply` compares and `diff` shows. */
export interface WrittenObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
  };
  readonly spec: unknown;
}

/** The written part of a stored object. */
export function writtenPart({ apiVersion, kind, metadata, spec }: Resource): WrittenObject {
  const { name, namespace } = metadata;
  const labels = metadata.labels ?? {};
  const annotations = metadata.annotations ?? {};
  return { apiVersion, kind, metadata: { name, namespace, labels, annotations }, spec };
}

export function sameObject(current: Resource, wanted: WrittenObject): boolean {
  return isDeepStrictEqual(plain(writtenPart(current)), plain(wanted));
}

/** Without prototypes' differences and undefined members. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}
