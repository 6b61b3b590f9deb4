import type { FieldPath, Fields } from './schema.ts';

/** Depth of maps and lists inside of each other. */
export const DEPTH_MAX = 64;
/** Values of one document, those that aliases repeat included. */
export const VALUES_MAX = 200_000;

/** A text as JSON values, and where in it everything stands. */
export interface SourceText {
  readonly documents: readonly SourceDocument[];
  /** Problems of the text as a whole; then there are no documents. */
  readonly problems: readonly SourceProblem[];
  position(offset: number): { readonly line: number; readonly column: number };
}

export interface SourceDocument {
  /** Maps have no prototype. Undefined where `problems` is not empty. */
  readonly value: unknown;
  readonly problems: readonly SourceProblem[];
  /** Offset of the field or item at `path`, or of the nearest one above that exists. */
  locate(path: FieldPath, at: 'name' | 'value'): number;
}

export interface SourceProblem {
  readonly offset: number;
  readonly message: string;
}

/** Where the fields and items of maps and lists stand; filled while they are read. */
export class Places {
  readonly #places = new Map<object, Map<string | number, { name: number; value: number }>>();

  set(container: object, step: string | number, name: number, value: number): void {
    let places = this.#places.get(container);
    if (places === undefined) {
      places = new Map();
      this.#places.set(container, places);
    }
    places.set(step, { name, value });
  }

  locate(root: unknown, rootOffset: number, path: FieldPath, at: 'name' | 'value'): number {
    let offset = rootOffset;
    let value = root;
    for (const [index, step] of path.entries()) {
      if (typeof value !== 'object' || value === null) return offset;
      const place = this.#places.get(value)?.get(step);
      if (place === undefined) return offset;
      offset = index === path.length - 1 && at === 'name' ? place.name : place.value;
      value = (value as Fields)[step];
    }
    return offset;
  }
}
