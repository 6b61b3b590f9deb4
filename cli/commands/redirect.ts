import type { CommandHandler } from '../command-table.ts';
import { ExitCode } from '../exit-code.ts';

/** `weft redirect …`: the same as `node redirect/main.ts …`, in this process. */
export const run: CommandHandler = async ({ args }) => {
  const main = new URL('../../redirect/main.ts', import.meta.url);
  process.argv.splice(1, process.argv.length - 1, main.pathname, ...args);
  await import(main.href);
  return Number(process.exitCode ?? ExitCode.Ok);
};
