/** Labels, or what is wrong with the text. */
export type ParsedLabels =
  | { readonly ok: true; readonly labels: ReadonlyMap<string, string> }
  | { readonly ok: false; readonly problem: string };

/** Labels that the control plane takes of one workload. */
const LABELS_MAX = 128;

/** `WEFT_LABELS`: `app=reviews,version=v1`, or a JSON object of texts. */
export function parseLabels(text: string): ParsedLabels {
  const labels = new Map<string, string>();
  if (text.trimStart().startsWith('{')) {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      return failed(`is no JSON: ${(error as Error).message}`);
    }
    for (const [key, label] of Object.entries(value as object)) {
      if (typeof label !== 'string')
        return failed(`the value of ${JSON.stringify(key)} is no text`);
      labels.set(key, label);
    }
    return finished(labels);
  }
  for (const pair of text.split(',')) {
    if (pair.trim() === '') continue;
    const equals = pair.indexOf('=');
    if (equals < 1) return failed(`"${pair.trim()}" must read label=value`);
    labels.set(pair.slice(0, equals).trim(), pair.slice(equals + 1).trim());
  }
  return finished(labels);
}

/** A file of the downward API (`metadata.labels`): one `key="value"` a line, the value quoted as in Go. */
export function parsePodinfo(text: string): ParsedLabels {
  const labels = new Map<string, string>();
  for (const [index, line] of text.split('\n').entries()) {
    if (line === '') continue;
    const match = /^([^="\s]+)="((?:[^"\\]|\\.)*)"$/.exec(line);
    if (match === null) return failed(`line ${index + 1} must read label="value"`);
    labels.set(match[1]!, unquote(match[2]!));
  }
  return finished(labels);
}

function finished(labels: ReadonlyMap<string, string>): ParsedLabels {
  if (labels.size > LABELS_MAX) return failed(`has more than ${LABELS_MAX} labels`);
  return { ok: true, labels };
}

function failed(problem: string): ParsedLabels {
  return { ok: false, problem };
}

const ESCAPES = new Map([
  ['n', '\n'],
  ['t', '\t'],
  ['r', '\r'],
]);

/** What `strconv.Quote` writes of text: `\"`, `\\`, `\n`, `\u00e9`. */
function unquote(text: string): string {
  return text.replace(
    /\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))/g,
    (_, ...[x, u, long, other]: (string | undefined)[]) => {
      const hex = x ?? u ?? long;
      if (hex === undefined) return ESCAPES.get(other!) ?? other!;
      const point = Number.parseInt(hex, 16);
      return point <= 0x10_ff_ff ? String.fromCodePoint(point) : '\ufffd';
    },
  );
}
