import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { COMMANDS } from './command-table.ts';
import { run as completion } from './commands/completion.ts';
import { CommandError } from './exit-code.ts';
import type { Terminal } from './terminal.ts';

async function script(shell: string): Promise<string> {
  let text = '';
  const terminal: Terminal = {
    out: (part) => {
      text += part;
    },
    talk: () => {},
    colour: (_style, part) => part,
    isTty: false,
  };
  await completion({ args: [shell], options: {}, terminal, env: {} });
  return text;
}

test.each(COMMANDS.map((entry) => [entry.name, entry] as const))(
  'weft %s has a handler that loads',
  async (_name, entry) => {
    expect((await entry.load()).run).toBeTypeOf('function');
  },
);

test.each(['bash', 'zsh', 'fish'])(
  'the %s completion names every command and flag',
  async (shell) => {
    const text = await script(shell);
    for (const { name, options } of COMMANDS) {
      expect(text).toContain(name);
      for (const { flags } of options) expect(text).toContain(/--([a-z][a-z-]*)/.exec(flags)![1]);
    }
  },
);

test('bash reads its completion and completes a command', async () => {
  if (!existsSync('/bin/bash')) return;
  const text = await script('bash');
  const ask = `${text}\nCOMP_WORDS=(weft proxy-c); COMP_CWORD=1; _weft; echo "\${COMPREPLY[*]}"`;
  expect(execFileSync('/bin/bash', ['-c', ask], { encoding: 'utf8' }).trim()).toBe('proxy-config');
});

test('an unknown shell is a usage error', async () => {
  await expect(script('tcsh')).rejects.toThrow(CommandError);
});
