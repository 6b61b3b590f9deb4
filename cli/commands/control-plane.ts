import type { CommandHandler } from '../command-table.ts';
import { ExitCode } from '../exit-code.ts';

/** `weft control-plane …`: the same as `node control-plane/main.ts …`, in this process. */
export const run: CommandHandler = async ({ args }) => {
  const main = new URL('../../control-plane/main.ts', import.meta.url);
  process.argv.splice(1, process.argv.length - 1, main.pathname, ...args);
  await import(main.href);
  return Number(process.exitCode ?? ExitCode.Ok);
};
