import { type FieldPath, formatPath } from '../../../proto/field-path.ts';

/** One thing wrong with a resource. */
export interface Problem {
  /** From the resource's root, in field names as `.proto` files spell them. */
  readonly path: FieldPath;
  /** What is wrong and what to do; does not repeat the path. */
  readonly message: string;
}

/** A resource turned into its runtime object, or every reason why it cannot be. */
export type Compiled<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Problems kept of one resource; the rest is counted. A NACK travels in one gRPC message. */
const PROBLEMS_MAX = 50;

/** Collects what is wrong with one resource, so that all of it is told at once. */
export class Problems {
  readonly list: Problem[] = [];
  #dropped = 0;

  add(path: FieldPath, message: string): void {
    if (this.list.length < PROBLEMS_MAX) this.list.push({ path, message });
    else this.#dropped++;
  }

  /** The value, or the problems met while it was built. */
  finish<T>(value: T): Compiled<T> {
    if (this.list.length === 0) return { ok: true, value };
    if (this.#dropped > 0) this.list.push({ path: [], message: `and ${this.#dropped} more` });
    return { ok: false, problems: this.list };
  }
}

/** `filter_chains[0].filters: …; name: …`, for a NACK or a log line. */
export function formatProblems(problems: readonly Problem[]): string {
  return problems
    .map(({ path, message }) => (path.length === 0 ? message : `${formatPath(path)}: ${message}`))
    .join('; ');
}
