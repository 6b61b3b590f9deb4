import { readJson } from './json-reader.ts';
import type { SourceText } from './source-document.ts';
import { readYaml } from './yaml-reader.ts';

/** UTF-16 units of one text (threat A8.4); the API server's body limit is the same. */
export const SOURCE_CHARS_MAX = 3 * 1024 * 1024;
/**
 * Reads JSON, or YAML of at most `yamlCharsMax` characters (0 = JSON only): the YAML parser takes seconds of a text that
 * the JSON reader takes milliseconds of, so a server must not give it much.
 */
export function readSource(text: string, yamlCharsMax: number): SourceText {
  const position = (offset: number) => positionIn(text, offset);
  const refuse = (offset: number, message: string): SourceText => ({
    documents: [],
    problems: [{ offset, message }],
    position,
  });
  if (text.length > SOURCE_CHARS_MAX) {
    return refuse(0, `has ${text.length} characters; at most ${SOURCE_CHARS_MAX} are allowed`);
  }
  if (text.startsWith('\ufeff')) {
    return refuse(0, 'begins with a byte order mark; save the file as UTF-8 without one');
  }
  if (yamlCharsMax === 0 || /^\s*[{[]/.test(text)) {
    const json = readJson(text);
    if (json.kind === 'read') return { documents: json.documents, problems: [], position };
    // `{a: 1}` is YAML, and several documents are not JSON: the YAML reader has the last word.
    if (yamlCharsMax === 0) return refuse(json.offset, `is not JSON: ${json.message}`);
  }
  if (text.length > yamlCharsMax) {
    const message = `has ${text.length} characters of YAML; at most ${yamlCharsMax} are allowed here, more as JSON`;
    return refuse(0, message);
  }
  return { ...readYaml(text), position };
}

/** From 1. Computed on demand: most texts have no problem to place. */
function positionIn(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset);
  let line = 1;
  let lineStart = 0;
  for (let at = before.indexOf('\n'); at >= 0; at = before.indexOf('\n', at + 1)) {
    line++;
    lineStart = at + 1;
  }
  return { line, column: offset - lineStart + 1 };
}
