import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ApiClient } from '../api-client.ts';
import { connectApi } from '../api-connection.ts';
import type { CommandHandler } from '../command-table.ts';
import { durationFlagMs } from '../duration-flag.ts';
import { CommandError, ExitCode } from '../exit-code.ts';
import { namespaceOption } from '../manifests.ts';

/**
 * `weft token create --service-account S [-n NS] [--ttl D]`: prints the token alone, for `> token`; with `--to DIRECTORY` all
 * that a sidecar somewhere else needs to join.
 */
export const run: CommandHandler = async (context) => {
  const { args, options, terminal } = context;
  if (args[0] !== 'create' || args.length > 1) {
    throw new CommandError(
      `unknown: weft token ${args.join(' ')}`,
      'there is: weft token create',
      ExitCode.Usage,
    );
  }
  const serviceAccount = options['serviceAccount'];
  if (serviceAccount === undefined) {
    const hint = 'weft token create --service-account reviews';
    throw new CommandError('name the identity that the token stands for', hint, ExitCode.Usage);
  }
  const api = connectApi(context);
  const { token } = await api.request<{ token: string }>('POST', '/weft/v1/tokens', {
    namespace: namespaceOption(options),
    serviceAccount,
    ttlSeconds: Math.ceil(durationFlagMs('--ttl', String(options['ttl'])) / 1000),
  });
  const directory = options['to'];
  if (directory === undefined) terminal.out(`${token}\n`);
  else writeCredentials(String(directory), token, await rootsPem(api));
  return ExitCode.Ok;
};

/** For the sidecar's WEFT_TOKEN_FILE and WEFT_ROOT_CERT. */
function writeCredentials(directory: string, token: string, roots: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeFileSync(join(directory, 'token'), `${token}\n`, { mode: 0o600 });
    writeFileSync(join(directory, 'root-cert.pem'), roots, { mode: 0o644 });
  } catch (error) {
    throw new CommandError(`--to ${directory} cannot be written: ${(error as Error).message}`);
  }
}

async function rootsPem(api: ApiClient): Promise<string> {
  const { items } = await api.request<{ items: { pem: string }[] }>('GET', '/weft/v1/ca/roots');
  return items.map(({ pem }) => pem).join('');
}
