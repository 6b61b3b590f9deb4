import { accessSync, constants, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ApiClient } from '../api-client.ts';
import { ApiError } from '../api-error.ts';
import type { OptionValues } from '../command-table.ts';
import { CommandError, ExitCode } from '../exit-code.ts';
import { readControlPlaneData } from './control-plane-data.ts';
import { hostPort, type RunFlags } from './run-flags.ts';
import type { SidecarSettings } from './sidecar-bootstrap.ts';

export type MeshAccess = Pick<
  SidecarSettings,
  'controlPlane' | 'rootCertFile' | 'joinTokenFile' | 'trustDomain'
>;

/**
 * How a sidecar gets into the mesh: `--control-plane`, `--root-cert`, `--join-token-file` and `--trust-domain` as given; what is
 * missing comes from the data directory of a control plane on this machine, which also makes the token, into
 * `directory`.
 */
export async function findMeshAccess(
  options: OptionValues,
  { namespace, serviceAccount }: Pick<RunFlags, 'namespace' | 'serviceAccount'>,
  directory: string,
  signal: AbortSignal,
): Promise<MeshAccess> {
  const { rootCert, joinTokenFile, controlPlane, trustDomain } = options;
  const complete = rootCert !== undefined && joinTokenFile !== undefined;
  const data = complete ? undefined : readControlPlaneData(String(options['data']));
  return {
    controlPlane: hostPort('--control-plane', controlPlane ?? data?.xds ?? DEFAULT_CONTROL_PLANE),
    rootCertFile: readable('--root-cert', rootCert ?? data!.rootCertFile),
    joinTokenFile:
      joinTokenFile === undefined
        ? await makeJoinToken(data!.api, { namespace, serviceAccount }, directory, signal)
        : readable('--join-token-file', joinTokenFile),
    trustDomain: String(trustDomain ?? data?.trustDomain ?? ''),
  };
}

async function makeJoinToken(
  api: string,
  identity: { readonly namespace: string; readonly serviceAccount: string },
  directory: string,
  signal: AbortSignal,
): Promise<string> {
  const client = new ApiClient({ server: `http://${api}`, token: '', signal });
  let token: string;
  try {
    ({ token } = await client.request<{ token: string }>('POST', '/weft/v1/tokens', {
      ...identity,
      ttlSeconds: JOIN_TOKEN_TTL_S,
    }));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    throw new CommandError(
      `no join token: ${error.message}`,
      error.status === 401
        ? "this API wants a token of its own: make one with 'weft token create --token-file …' and give --join-token-file"
        : '',
    );
  }
  const file = join(directory, 'join-token');
  writeFileSync(file, `${token}\n`, { mode: 0o600 });
  return file;
}

function readable(flag: string, value: OptionValues[string]): string {
  const file = resolve(String(value));
  try {
    accessSync(file, constants.R_OK);
  } catch (error) {
    throw new CommandError(
      `${flag} cannot be read: ${(error as Error).message}`,
      '',
      ExitCode.Data,
    );
  }
  return file;
}

const DEFAULT_CONTROL_PLANE = '127.0.0.1:15012';
/** Needed for the first certificate alone; each later one is asked for with the one before. */
const JOIN_TOKEN_TTL_S = 86_400;
