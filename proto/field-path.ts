/**
 * Where in a document a problem stands: field names as they were written and list positions. The same
 * path finds the line in a parsed YAML document.
 */
export type FieldPath = readonly (string | number)[];

/** `static_resources.listeners[0].metadata.filter_metadata["envoy.lb"]`; '' is the document itself. */
export function formatPath(path: FieldPath): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else if (!/^[@A-Za-z_][A-Za-z0-9_]*$/.test(step)) text += `[${JSON.stringify(step)}]`;
    else text += text === '' ? step : `.${step}`;
  }
  return text;
}
