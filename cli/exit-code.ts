/** Exit codes of the command line; 64 and 65 are istioctl's, 1 for `diff` is kubectl's "they differ". */
export const ExitCode = {
  Ok: 0,
  Failure: 1,
  /** The command line itself is wrong. */
  Usage: 64,
  /** A file cannot be read, or what it holds is not valid. */
  Data: 65,
} as const;

/** Ends the command with a message for the person; everything else that is thrown is a bug. */
export class CommandError extends Error {
  readonly code = 'WEFT_CLI';
  readonly exitCode: number;
  /** The next command to run or thing to change, on a line of its own. */
  readonly hint: string;

  constructor(message: string, hint = '', exitCode: number = ExitCode.Failure) {
    super(message);
    this.exitCode = exitCode;
    this.hint = hint;
  }
}
