import type { CommandHandler } from '../command-table.ts';

/** `weft redirect …`: the same as `node redirect/main.ts …`, in this process. */
export const run: CommandHandler = async ({ args }) => {
  const { main } = await import('../../redirect/main.ts');
  process.exit(await main(args));
};
