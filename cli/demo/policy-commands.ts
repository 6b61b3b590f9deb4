import { run as apply } from '../commands/apply.ts';
import { run as remove } from '../commands/delete.ts';
import type { Terminal } from '../terminal.ts';

/** The demo applies and deletes policies as a person would: with the commands, in this process. */

export async function applyFiles(api: string, files: readonly string[]): Promise<void> {
  const { code, talk } = await runApply(api, files);
  if (code !== 0) throw new Error(`weft apply ended with ${code}: ${talk.trim()}`);
}

export async function runApply(
  api: string,
  files: readonly string[],
): Promise<{ code: number; talk: string }> {
  return recorded((terminal) =>
    apply({
      args: [],
      options: { filename: files, namespace: 'default', server: api },
      terminal,
      env: {},
    }),
  );
}

export async function runDelete(api: string, args: readonly string[]): Promise<void> {
  const { code, talk } = await recorded((terminal) =>
    remove({
      args,
      options: { namespace: 'default', server: api, ignoreNotFound: true },
      terminal,
      env: {},
    }),
  );
  if (code !== 0) throw new Error(`weft delete ended with ${code}: ${talk.trim()}`);
}

async function recorded(
  command: (terminal: Terminal) => Promise<number>,
): Promise<{ code: number; talk: string }> {
  let talk = '';
  const terminal: Terminal = {
    out: () => {},
    talk: (text) => {
      talk += text;
    },
    colour: (_style, text) => text,
    isTty: false,
  };
  return { code: await command(terminal), talk };
}
