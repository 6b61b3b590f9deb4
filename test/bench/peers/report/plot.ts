import { type CaseResult, type Row, WEFT } from '../result.ts';
import { median, spread } from '../statistics.ts';
import { numberText } from './number-text.ts';

/*
 *   title of the case: row (unit)
 *   Weft     ██████████├─┤ 17.4
 *   nginx    █████████├┤   16.0
 *            0        │ a tick for each target
 */
const WIDTH = 860;
const LABEL_WIDTH = 150;
const VALUE_WIDTH = 150;
const BAR_WIDTH = WIDTH - LABEL_WIDTH - VALUE_WIDTH;
const BAR_HEIGHT = 16;
const BAR_STEP = 20;
const HEAD_HEIGHT = 30;
/** Two labels of limits may stand close to each other: each has a line of its own. */
const LABEL_STEP = 11;
const FOOT_HEIGHT = 6;

const OURS = '#1f6feb';
const THEIRS = '#9aa4af';
const MET = '#1a7f37';
const MISSED = '#cf222e';

/** Bars of every row that has a target, each row on a scale of its own; a tick stands where the limit of a target lies. */
export function benchmarksPlot(cases: readonly CaseResult[]): string {
  const parts: string[] = [];
  let y = 10;
  for (const { title, rows } of cases) {
    for (const row of rows) {
      if (row.targets.length === 0 || row.figures.length === 0) continue;
      parts.push(group(title, row, y));
      const labels = row.targets.length * LABEL_STEP;
      y += HEAD_HEIGHT + row.figures.length * BAR_STEP + labels + FOOT_HEIGHT;
    }
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}" font-family="system-ui, sans-serif" font-size="12" role="img">
<title>Weft beside its peers, and where the limits of the targets lie</title>
<rect width="100%" height="100%" fill="#ffffff"/>
${parts.join('\n')}
</svg>
`;
}

function group(title: string, row: Row, top: number): string {
  const limits = row.targets.flatMap(({ to, limit, bound }) => {
    const base = to === '' ? 1 : medianOf(row, to);
    if (base === undefined) return [];
    const at = limit * base;
    const ours = medianOf(row, WEFT);
    const met = ours !== undefined && (bound === 'atMost' ? ours <= at : ours >= at);
    return [{ at, label: to === '' ? `limit ${limit}` : `${limit} × ${to}`, met }];
  });
  const greatest = Math.max(
    ...row.figures.map(({ rounds }) => spread(rounds).max),
    ...limits.map(({ at }) => at),
  );
  const x = (value: number) => LABEL_WIDTH + (value / (greatest || 1)) * BAR_WIDTH;
  const firstBar = top + HEAD_HEIGHT;
  const lastBar = firstBar + row.figures.length * BAR_STEP;
  const bars = row.figures.map(({ subject, rounds }, index) => {
    const { median, min, max } = spread(rounds);
    const y = firstBar + index * BAR_STEP;
    const middle = y + BAR_HEIGHT / 2;
    const fill = subject === WEFT ? OURS : THEIRS;
    return `<text x="${LABEL_WIDTH - 8}" y="${middle + 4}" text-anchor="end">${escapeText(subject)}</text>
<rect x="${LABEL_WIDTH}" y="${y}" width="${px(x(median) - LABEL_WIDTH)}" height="${BAR_HEIGHT}" fill="${fill}"/>
<line x1="${px(x(min))}" x2="${px(x(max))}" y1="${middle}" y2="${middle}" stroke="#24292f"/>
<text x="${px(x(max) + 6)}" y="${middle + 4}">${numberText(median)}</text>`;
  });
  const ticks = limits.map(
    ({ at, label, met }, index) =>
      `<line x1="${px(x(at))}" x2="${px(x(at))}" y1="${firstBar - 4}" y2="${lastBar}" stroke="${met ? MET : MISSED}" stroke-width="2"><title>${escapeText(label)}</title></line>
<text x="${px(x(at))}" y="${lastBar + 9 + index * LABEL_STEP}" text-anchor="middle" font-size="10" fill="${met ? MET : MISSED}">${escapeText(label)}</text>`,
  );
  const heading = `${title}: ${row.name} (${row.unit})`;
  return `<text x="8" y="${top + 16}" font-weight="600">${escapeText(heading)}</text>
${[...bars, ...ticks].join('\n')}`;
}

function medianOf(row: Row, subject: string): number | undefined {
  const rounds = row.figures.find((figure) => figure.subject === subject)?.rounds;
  return rounds === undefined ? undefined : median(rounds);
}

const px = (value: number) => value.toFixed(1);

function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
