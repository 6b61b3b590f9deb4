export type Label = readonly [name: string, value: string];
export type Labels = readonly Label[];

/** Characters of one label value; longer ones are cut (a peer chooses some of them). */
export const LABEL_VALUE_LENGTH_MAX = 256;

/** Exposition format 0.0.4: `\`, `"` and line feed are escaped; the rest is UTF-8. */
export function renderLabels(labels: Labels): string {
  let text = '';
  for (const [name, value] of labels) {
    if (text !== '') text += ',';
    text += `${name}="${escapeLabelValue(value)}"`;
  }
  return text;
}

function escapeLabelValue(value: string): string {
  if (!/[\\"\n]/.test(value)) return value;
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

export function cutLabelValue(value: string): string {
  return value.length > LABEL_VALUE_LENGTH_MAX
    ? value.slice(0, LABEL_VALUE_LENGTH_MAX).toWellFormed()
    : value;
}
