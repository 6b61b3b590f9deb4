/** Why a proxy did not start; `lines` are complete messages for people. */
export class StartError extends Error {
  readonly code = 'WEFT_START';
  readonly lines: readonly string[];

  constructor(lines: readonly string[]) {
    super(lines.join('\n'));
    this.lines = lines;
  }
}
