import { COMMANDS, type CommandHandler, type OptionEntry } from '../command-table.ts';
import { CommandError, ExitCode } from '../exit-code.ts';

/** `weft completion bash|zsh|fish`: a script made from the command table. */
export const run: CommandHandler = async ({ args: [shell], terminal }) => {
  const script = shell === undefined ? undefined : SCRIPTS.get(shell);
  if (script === undefined) {
    throw new CommandError(
      `no completion for ${shell}`,
      'there is bash, zsh and fish',
      ExitCode.Usage,
    );
  }
  terminal.out(script());
  return ExitCode.Ok;
};

const names = COMMANDS.flatMap(({ name, aliases }) => [name, ...aliases]);

function flags(options: readonly OptionEntry[]): string[] {
  return options.flatMap(({ flags }) => flags.match(/--?[a-zA-Z][a-z-]*/g) ?? []);
}

/** Words that may follow each command: its flags and its subcommands. */
const words = new Map(
  COMMANDS.flatMap((entry) =>
    [entry.name, ...entry.aliases].map((name) => [
      name,
      [...(entry.subcommands ?? []), ...flags(entry.options), '--help'].join(' '),
    ]),
  ),
);

function bash(): string {
  const cases = [...words].map(([name, list]) => `    ${name}) words="${list}" ;;`).join('\n');
  return `# bash completion for weft: source <(weft completion bash)
_weft() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words
  case "\${COMP_CWORD}:\${COMP_WORDS[1]}" in
    1:*) words="${names.join(' ')} help" ;;
    *) case "\${COMP_WORDS[1]}" in
${cases}
    esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [ \${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -F _weft weft
`;
}

function zsh(): string {
  const described = COMMANDS.map(({ name, summary }) => `    '${name}:${quote(summary)}'`).join(
    '\n',
  );
  const cases = [...words].map(([name, list]) => `    ${name}) compadd -- ${list} ;;`).join('\n');
  return `#compdef weft
# zsh completion for weft: source <(weft completion zsh)
_weft() {
  local -a commands=(
${described}
  )
  if (( CURRENT == 2 )); then _describe command commands; return; fi
  case "$words[2]" in
${cases}
  esac
  _files
}
compdef _weft weft
`;
}

function fish(): string {
  const lines = COMMANDS.flatMap((entry) => {
    const here = `__fish_seen_subcommand_from ${[entry.name, ...entry.aliases].join(' ')}`;
    return [
      `complete -c weft -n __fish_use_subcommand -a ${entry.name} -d '${quote(entry.summary)}'`,
      ...(entry.subcommands ?? []).map((word) => `complete -c weft -n '${here}' -a ${word}`),
      ...entry.options.map(({ flags, summary }) => {
        const long = /--([a-z][a-z-]*)/.exec(flags)![1];
        const short = /^-([a-zA-Z]),/.exec(flags)?.[1];
        return `complete -c weft -n '${here}' -l ${long}${short === undefined ? '' : ` -s ${short}`} -d '${quote(summary)}'`;
      }),
    ];
  });
  return `# fish completion for weft: weft completion fish | source\n${lines.join('\n')}\n`;
}

function quote(text: string): string {
  return text.replaceAll("'", '’').replaceAll(':', '\\:');
}

const SCRIPTS = new Map<string, () => string>([
  ['bash', bash],
  ['zsh', zsh],
  ['fish', fish],
]);
