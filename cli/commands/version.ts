import { connectApi } from '../api-connection.ts';
import type { CommandHandler } from '../command-table.ts';
import { CommandError, ExitCode } from '../exit-code.ts';
import { ownVersion } from '../own-version.ts';

/** `weft version`: the control plane's is left out, with a word on stderr, where none answers. */
export const run: CommandHandler = async (context) => {
  const { options, terminal } = context;
  const client = `v${ownVersion()}`;
  let server: string | undefined;
  if (options['client'] !== true) {
    try {
      const answer = await connectApi(context).request<{ gitVersion: string }>('GET', '/version');
      // kubectl wants to read a Kubernetes version: v1.33.0+weft-0.1.0.
      server = answer.gitVersion.replace(/^.*\+weft-/, 'v');
    } catch (error) {
      if (!(error instanceof CommandError) || error.exitCode !== ExitCode.Failure) throw error;
      terminal.talk(`${error.message}\n`);
    }
  }
  if (options['output'] === 'json') {
    terminal.out(`${JSON.stringify({ client, node: process.version, server }, null, 2)}\n`);
  } else {
    terminal.out(`client version: ${client} (Node.js ${process.version})\n`);
    if (server !== undefined) terminal.out(`control plane version: ${server}\n`);
  }
  return ExitCode.Ok;
};
