/** JSON objects of any shape. */
export type Fields = Record<string, unknown>;

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The object under `name`, or an empty one that is not part of `fields`. */
export function object(fields: Fields, name: string): Fields {
  const value = fields[name];
  return isFields(value) ? value : {};
}

export function list(fields: Fields, name: string): unknown[] {
  const value = fields[name];
  return Array.isArray(value) ? value : [];
}

export function texts(fields: Fields, name: string): string[] {
  return list(fields, name).filter((each): each is string => typeof each === 'string');
}

export function text(fields: Fields, name: string): string {
  const value = fields[name];
  return typeof value === 'string' ? value : '';
}

/** `metadata.labels.app`: what stands there. */
export function at(value: unknown, path: readonly string[]): unknown {
  let here: unknown = value;
  for (const name of path) {
    if (Array.isArray(here)) here = here[Number(name)];
    else if (isFields(here)) here = here[name];
    else return undefined;
  }
  return here;
}

export function copy<T>(value: T): T {
  return structuredClone(value);
}
