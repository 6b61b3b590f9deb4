import { applyDefaults } from './defaults.ts';
import type { FieldPath, Schema } from './schema.ts';
import { type Findings, validate } from './validate.ts';

/** Everything the control plane and the command line know about one kind of policy object. */
export interface Kind<Spec = unknown> {
  readonly group: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  /** All versions that may be written, newest first; the first one is stored. They share one schema. */
  readonly versions: readonly string[];
  readonly doc: string;
  readonly spec: Schema<Spec>;
  /** May be left out whole. */
  readonly specOptional: boolean;
  readonly printerColumns: readonly PrinterColumn[];
}

/** A column of `weft get`, after NAME and before nothing else: `AGE` is a column like the others. */
export interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date';
  readonly doc: string;
  /** Fields from the object's root, `['spec', 'hosts']`. A list is printed as JSON, absence as `<none>`. */
  readonly path: readonly string[];
  /** 1 = with `-o wide` only. */
  readonly priority: 0 | 1;
}

export const AGE: PrinterColumn = {
  name: 'Age',
  type: 'date',
  doc: 'Time since the object was created',
  path: ['metadata', 'creationTimestamp'],
  priority: 0,
};

/** `networking.istio.io/v1`: the version in which objects are stored and the mesh reads them. */
export function storedApiVersion(kind: Kind): string {
  return `${kind.group}/${kind.versions[0]}`;
}

/** The checked copy of `spec` as its author wrote it; meaningful only where nothing was found. */
export function validateSpec(
  kind: Kind,
  spec: unknown,
  path: FieldPath,
  findings: Findings,
): unknown {
  return validate(kind.spec, spec ?? (kind.specOptional ? {} : spec), path, findings);
}

/** The typed spec, with defaults and frozen, of a spec that passed `validateSpec`. */
export function withDefaults<Spec>(kind: Kind<Spec>, spec: unknown): Spec {
  return applyDefaults(kind.spec, spec ?? {}) as Spec;
}
