import type { CommandHandler } from '../command-table.ts';

/** `weft control-plane …`: the same as `node control-plane/main.ts …`, in this process. */
export const run: CommandHandler = async ({ args }) => {
  const { main } = await import('../../control-plane/main.ts');
  process.exit(await main(args));
};
