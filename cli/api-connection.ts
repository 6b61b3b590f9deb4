import { readFileSync } from 'node:fs';
import { ApiClient } from './api-client.ts';
import type { CommandContext } from './command-table.ts';
import { CommandError, ExitCode } from './exit-code.ts';

/** The API client that `--server`, `--token-file` and the environment ask for. */
export function connectApi({ options, env }: CommandContext): ApiClient {
  const server = String(options['server'] ?? env['WEFT_SERVER'] ?? DEFAULT_SERVER);
  if (!/^https?:\/\/[^/]+/.test(server) || !URL.canParse(server)) {
    throw new CommandError(
      `--server ${server} is no URL`,
      `write it as ${DEFAULT_SERVER}`,
      ExitCode.Usage,
    );
  }
  const tokenFile = options['tokenFile'] ?? env['WEFT_TOKEN_FILE'];
  return new ApiClient({
    server,
    token: tokenFile === undefined ? '' : readToken(String(tokenFile)),
  });
}

function readToken(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new CommandError(
      `the token file cannot be read: ${(error as Error).message}`,
      '',
      ExitCode.Data,
    );
  }
}

const DEFAULT_SERVER = 'http://127.0.0.1:15080';
