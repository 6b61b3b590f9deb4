import type { CommandHandler } from '../command-table.ts';

/** `weft proxy …`: the same as `node proxy/main.ts …`, in this process. */
export const run: CommandHandler = async ({ args }) => {
  const { main } = await import('../../proxy/main.ts');
  // By code, not by an empty event loop: what a peer keeps open must not keep the process.
  process.exit(await main(args));
};
