/**
 * What a peer wrote (path, user agent, SNI, …) must not end a log line, close a quote or speak to a
 * terminal (A7.3). Values come as latin1 strings, one character a byte as received.
 */

/**
 * For text logs: line feed and friends as `\n`, `"` and `\` with a backslash, any other byte outside
 * printable ASCII as `\xNN`.
 */
export function escapeText(value: string): string {
  return UNSAFE_TEXT.test(value) ? value.replace(UNSAFE_TEXT_ALL, textEscape) : value;
}

/** The inside of a JSON string. Bytes that are UTF-8 are shown as the characters they mean. */
export function escapeJson(value: string): string {
  if (!UNSAFE_JSON.test(value)) return value;
  return decoded(value).replace(UNSAFE_JSON_ALL, jsonEscape);
}

const UNSAFE_TEXT = /[^ !#-[\]-~]/;
const UNSAFE_TEXT_ALL = /[^ !#-[\]-~]/gu;
/** Any character beyond ASCII is looked at as well, because it may be part of a UTF-8 sequence. */
const UNSAFE_JSON = /[^ !#-[\]-~]/;
/** C0, quote, backslash, DEL, C1 (a terminal takes U+009B for an escape), line separators, surrogates. */
const UNSAFE_JSON_ALL = /[\u0000-\u001f"\\\u007f-\u009f\u2028\u2029\ud800-\udfff]/gu;

function textEscape(character: string): string {
  const named = NAMED.get(character);
  if (named !== undefined) return named;
  const code = character.codePointAt(0)!;
  if (code <= 0xff) return `\\x${code.toString(16).padStart(2, '0').toUpperCase()}`;
  return `\\u{${code.toString(16)}}`;
}

function jsonEscape(character: string): string {
  const named = NAMED.get(character);
  if (named !== undefined) return named;
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

const NAMED: ReadonlyMap<string, string> = new Map([
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
  ['"', '\\"'],
  ['\\', '\\\\'],
]);

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The UTF-8 text whose bytes the value is, else the value itself. */
function decoded(value: string): string {
  if (!/[\u0080-\u00ff]/.test(value) || /[^\u0000-\u00ff]/.test(value)) return value;
  try {
    return utf8.decode(Buffer.from(value, 'latin1'));
  } catch {
    return value;
  }
}
