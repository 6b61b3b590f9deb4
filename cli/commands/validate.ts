import type { CommandHandler } from '../command-table.ts';
import { ExitCode } from '../exit-code.ts';
import { readManifests, showProblems } from '../manifests.ts';

/** `weft validate FILE…`: offline; exit 0 where nothing is wrong, 65 otherwise (istioctl's code for bad data). */
export const run: CommandHandler = async (context) => {
  const { objects, problems } = await readManifests(context, context.args);
  showProblems(context, problems);
  const count = `${objects.length} object${objects.length === 1 ? '' : 's'}`;
  if (problems.length > 0) {
    const found = `${problems.length} problem${problems.length === 1 ? '' : 's'}`;
    context.terminal.talk(`${found} found; ${count} without one\n`);
    return ExitCode.Data;
  }
  context.terminal.out(`${context.terminal.colour('green', '✔')} ${count} valid\n`);
  return ExitCode.Ok;
};
