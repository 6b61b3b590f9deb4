import { printableCell } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import type { CategoryReport, CheckReport } from './check.ts';

export const CHECK_FORMATS = ['table', 'short', 'json'] as const;
export type CheckFormat = (typeof CHECK_FORMATS)[number];

/** Where the anchors of hints are explained. */
const HINTS = 'docs/checks.md';

/** Prints as the checks are settled, in Linkerd's look: groups, √ ‼ ×, the reason indented below. */
export class CheckOutput {
  readonly #terminal: Terminal;
  readonly #format: CheckFormat;
  #category = '';

  constructor(terminal: Terminal, format: CheckFormat) {
    this.#terminal = terminal;
    this.#format = format;
  }

  readonly report = (category: string, report: CheckReport): void => {
    const isQuiet = this.#format === 'short' && ['success', 'skipped'].includes(report.result);
    if (this.#format === 'json' || isQuiet) return;
    if (category !== this.#category) {
      const gap = this.#category === '' ? '' : '\n';
      this.#category = category;
      this.#terminal.out(`${gap}${category}\n${'-'.repeat(category.length)}\n`);
    }
    const { description, reason, hint, result } = report;
    if (result === 'skipped') {
      this.#terminal.out(
        `${this.#mark(result)} ${description} (skipped: ${printableCell(reason)})\n`,
      );
      return;
    }
    this.#terminal.out(`${this.#mark(result)} ${description}\n`);
    for (const line of reason === '' ? [] : reason.split('\n')) {
      this.#terminal.out(`    ${printableCell(line)}\n`);
    }
    if (result !== 'success') this.#terminal.out(`    see ${HINTS}#${hint} for hints\n`);
  };

  /** The last line; true = nothing is an error. */
  finish(reports: readonly CategoryReport[]): boolean {
    const results = reports.flatMap(({ checks }) => checks.map(({ result }) => result));
    const success = !results.includes('error');
    if (this.#format === 'json') {
      const categories = reports.map(({ name, checks }) => ({
        categoryName: name,
        checks: checks.map(({ description, hint, reason, result }) => ({
          description,
          ...(result === 'success' ? {} : { hint: `${HINTS}#${hint}` }),
          ...(reason === '' ? {} : { error: reason }),
          result,
        })),
      }));
      this.#terminal.out(`${JSON.stringify({ success, categories }, null, 2)}\n`);
    } else {
      const gap = this.#category === '' ? '' : '\n';
      const mark = this.#mark(success ? 'success' : 'error');
      this.#terminal.out(`${gap}Status check results are ${mark}\n`);
    }
    return success;
  }

  #mark(result: CheckReport['result']): string {
    switch (result) {
      case 'success':
        return this.#terminal.colour('green', '√');
      case 'warning':
        return this.#terminal.colour('yellow', '‼');
      case 'error':
        return this.#terminal.colour('red', '×');
      case 'skipped':
        return this.#terminal.colour('dim', '-');
    }
  }
}
