/**
 * A strict reader of Prometheus' text format 0.0.4 and of OpenMetrics 1.0: what a scraper would refuse throws, and so
 * does a sample that stands twice. Samples by their name and labels as written.
 */
export function parseExposition(
  text: string,
  format: 'prometheus' | 'openmetrics',
): Map<string, number> {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  const lines = text.slice(0, -1).split('\n');
  const isOpen = format === 'openmetrics';
  if (isOpen && lines.pop() !== '# EOF') throw new Error('the page does not end with # EOF');
  const samples = new Map<string, number>();
  const typed = new Set<string>();
  for (const [index, line] of lines.entries()) {
    const at = `line ${index + 1}: ${line.slice(0, 200)}`;
    if (line === '') {
      if (isOpen) throw new Error(`an empty line, ${at}`);
      continue;
    }
    if (line.startsWith('#')) {
      if (line === '# EOF') throw new Error(`an end in the middle, ${at}`);
      const type = /^# TYPE (\S+) (\S+)$/.exec(line);
      if (type === null) continue;
      if (typed.has(type[1]!)) throw new Error(`a second TYPE, ${at}`);
      if (!TYPES.has(type[2]!)) throw new Error(`an unknown type, ${at}`);
      typed.add(type[1]!);
      continue;
    }
    const sample = SAMPLE.exec(line);
    if (sample === null) throw new Error(`no sample, ${at}`);
    const [, name, labels = '', value, exemplar] = sample;
    if (exemplar !== undefined && !isOpen) throw new Error(`an exemplar in text, ${at}`);
    const key = `${name}${labels}`;
    if (samples.has(key)) throw new Error(`a sample twice, ${at}`);
    const number = Number(value!.replace(/^([+-]?)Inf$/, '$1Infinity'));
    if (Number.isNaN(number) && value !== 'NaN') throw new Error(`no number, ${at}`);
    samples.set(key, number);
  }
  return samples;
}

const TYPES = new Set([
  'counter',
  'gauge',
  'histogram',
  'summary',
  'untyped',
  'unknown',
  'info',
  'stateset',
  'gaugehistogram',
]);

const SAMPLE =
  /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\["\\n])*",?)*\})? (\S+)(?: -?[\d.]+)?( # \{.*\} \S+(?: \S+)?)?$/;
