import type { JsonObject, JsonValue } from './admin-source.ts';

/**
 * JSON written in pieces: a configuration dump of ten thousand clusters is tens of megabytes, which
 * `JSON.stringify` in one go would hold the event loop for.
 */

/** `{"<key>": [ … ]}` with each section's lists written element by element. */
export function* renderSections(key: string, sections: Iterable<JsonObject>): Generator<string> {
  yield `{\n "${key}": [`;
  let first = true;
  for (const section of sections) {
    yield first ? '\n' : ',\n';
    first = false;
    yield* renderSection(section);
  }
  yield '\n ]\n}\n';
}

function* renderSection(section: JsonObject): Generator<string> {
  yield '  {';
  let first = true;
  for (const [key, value] of Object.entries(section)) {
    yield `${first ? '' : ','}\n   ${JSON.stringify(key)}: `;
    first = false;
    if (Array.isArray(value)) yield* renderList(value);
    else yield indented(value as JsonValue, 3);
  }
  yield '\n  }';
}

function* renderList(values: readonly JsonValue[]): Generator<string> {
  if (values.length === 0) {
    yield '[]';
    return;
  }
  yield '[';
  for (const [index, value] of values.entries()) {
    yield `${index === 0 ? '' : ','}\n    ${indented(value, 4)}`;
  }
  yield '\n   ]';
}

/** Without the indentation of its first line. */
function indented(value: JsonValue, depth: number): string {
  return JSON.stringify(value, null, 1).replaceAll('\n', `\n${' '.repeat(depth)}`);
}
