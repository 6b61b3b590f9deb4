import { Command, CommanderError, Option } from 'commander';
import { ApiError } from './api-error.ts';
import { COMMANDS, type CommandEntry, type OptionValues } from './command-table.ts';
import { CommandError, ExitCode } from './exit-code.ts';
import { ownVersion } from './own-version.ts';
import { processTerminal, type Terminal } from './terminal.ts';

/** The command line: finds the command in the table, loads it alone, and turns what it throws into an exit code. */

/** The exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const terminal = processTerminal();
  process.stdout.on('error', endOfPipe);
  process.stderr.on('error', endOfPipe);
  const [word, ...rest] = argv;
  const whole = COMMANDS.find(({ name }) => name === word);
  return whole?.passThrough === true && whole.options.length === 0
    ? runCommand(whole, rest, {}, terminal)
    : dispatch(argv, terminal);
}

async function dispatch(argv: readonly string[], to: Terminal): Promise<number> {
  let exitCode: number = ExitCode.Ok;
  const program = new Command('weft')
    .description('A service mesh in TypeScript.')
    .version(ownVersion(), '-V, --version', 'version of the command line')
    .enablePositionalOptions()
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({ writeOut: to.out, writeErr: to.talk });
  for (const entry of COMMANDS) {
    const command = program
      .command(`${entry.name} ${entry.args}`.trim())
      .description(entry.summary);
    command.exitOverride().aliases([...entry.aliases]);
    if (entry.subcommands !== undefined) {
      command.addHelpText('after', `\nWhat: ${entry.subcommands.join(', ')}`);
    }
    if (entry.passThrough === true) command.passThroughOptions(true);
    for (const { flags, summary, fallback, choices, many } of entry.options) {
      const option = new Option(flags, summary);
      if (choices !== undefined) option.choices([...choices]);
      if (fallback !== undefined) option.default(fallback);
      if (many === true) option.argParser((value: string, all: string[] = []) => [...all, value]);
      command.addOption(option);
    }
    command.action(async () => {
      exitCode = await runCommand(entry, command.args, command.opts(), to);
    });
  }
  try {
    if (argv.length === 0) program.help();
    await program.parseAsync(argv as string[], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    const helped = ['commander.helpDisplayed', 'commander.version'].includes(error.code);
    return helped || error.exitCode === 0 ? ExitCode.Ok : ExitCode.Usage;
  }
  return exitCode;
}

async function runCommand(
  entry: CommandEntry,
  args: readonly string[],
  options: OptionValues,
  to: Terminal,
): Promise<number> {
  try {
    const { run } = await entry.load();
    return await run({ args, options, terminal: to, env: process.env });
  } catch (error) {
    if (error instanceof CommandError) {
      to.talk(`weft: ${error.message}\n`);
      if (error.hint !== '') to.talk(`${error.hint}\n`);
      return error.exitCode;
    }
    if (error instanceof ApiError) {
      to.talk(`${error.line}\n`);
      return ExitCode.Failure;
    }
    throw error;
  }
}

/**
 * `weft get … | head`: the reader left, which is no error. A command that has processes or files to end first has
 * taken the signals, and ends by them.
 */
function endOfPipe(error: NodeJS.ErrnoException): void {
  if (process.listenerCount('SIGTERM') > 0) process.kill(process.pid, 'SIGTERM');
  else process.exit(error.code === 'EPIPE' ? ExitCode.Ok : ExitCode.Failure);
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
