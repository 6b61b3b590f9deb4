import type { CommandHandler } from '../../cli/command-table.ts';
import { CommandError } from '../../cli/exit-code.ts';

/** In place of `cli/commands/demo.ts` in a bundle, which has neither the apps nor the policy files of the demo. */
export const run: CommandHandler = async () => {
  throw new CommandError(
    'the demo is not in this image',
    "run './weft demo' in a clone of the repository, or the compose projects in examples/compose",
  );
};
