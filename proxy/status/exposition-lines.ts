/** Characters looked at before the event loop gets its turn. */
const TURN_CHARS = 256 * 1024;
/** Characters of one line. */
const LINE_CHARS_MAX = 1024 * 1024;

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABELS = '\\{(?:[^"\\n}]|"(?:[^"\\\\\\n]|\\\\.)*")*\\}';
const VALUE = '(?:[+-]?(?:\\d[0-9a-fA-FxXpP.eE+_-]*|\\.\\d[0-9eE+-]*|[iI]nf(?:inity)?)|[nN]a[nN])';
/** A comment, or a sample with its timestamp and exemplar. No part can match what another does: linear. */
const LINE = new RegExp(
  `^(?:[ \\t]*(?:#.*)?|(?:${NAME}(?:${LABELS})?|${LABELS})[ \\t]+${VALUE}(?:[ \\t]+[+-]?[\\d.eE+-]+)?(?:[ \\t]+#.*)?[ \\t]*)$`,
);

/**
 * The lines of a page of metrics without its `# EOF`, or what is wrong: one line that is no sample makes a scraper
 * refuse the whole merged page, the sidecar's part with it. Gives way to other work on the way.
 */
export async function checkExposition(
  text: string,
): Promise<{ readonly text: string } | { readonly problem: string }> {
  let start = 0;
  let turnAt = TURN_CHARS;
  let number = 0;
  while (start < text.length) {
    const newline = text.indexOf('\n', start);
    const end = newline < 0 ? text.length : newline;
    number++;
    if (end - start > LINE_CHARS_MAX) return { problem: `line ${number} is too long` };
    const line = text.slice(start, text[end - 1] === '\r' ? end - 1 : end);
    if (line === '# EOF') return { text: text.slice(0, start) };
    if (!LINE.test(line)) return { problem: `line ${number} is neither a sample nor a comment` };
    start = end + 1;
    if (start > turnAt) {
      turnAt = start + TURN_CHARS;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  return { text: text === '' || text.endsWith('\n') ? text : `${text}\n` };
}
