import { join } from 'node:path';

/** In place of `cli/run/proxy-program.ts` in a bundle: the roles stand one directory above their parts. */
export const PROXY_PROGRAM = join(import.meta.dirname, '../proxy.mjs');
