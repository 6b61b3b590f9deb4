import { parseFlags, USAGE } from './flags.ts';
import { redirect } from './redirect.ts';

/** Command line → rules in the kernel. Its own entry for an init container: no package, only Node.js. */

const EXIT_FAILURE = 1;
const EXIT_BAD_USAGE = 64;

export async function main(args: readonly string[]): Promise<number> {
  const fail = (line: string) => void process.stderr.write(`weft redirect: ${line}\n`);
  const parsed = parseFlags(args);
  if (parsed.kind === 'help') {
    process.stdout.write(USAGE);
    return 0;
  }
  if (parsed.kind === 'problems') {
    for (const problem of parsed.problems) fail(problem);
    fail('weft redirect --help lists the flags');
    return EXIT_BAD_USAGE;
  }
  const { commandLine } = parsed;
  const done = await redirect(commandLine, {
    path: process.env['PATH'] ?? '',
    out: (text) => void process.stdout.write(text),
    log: (line) => {
      if (!commandLine.quiet) fail(line);
    },
    fail,
  });
  return done ? 0 : EXIT_FAILURE;
}

if (import.meta.main) {
  process.exit(await main(process.argv.slice(2)));
}
