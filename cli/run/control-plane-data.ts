import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommandError, ExitCode } from '../exit-code.ts';

/** What a control plane on this machine writes into its data directory once it listens. */
export interface ControlPlaneData {
  readonly rootCertFile: string;
  /** `host:port`. */
  readonly xds: string;
  readonly api: string;
  readonly trustDomain: string;
}

export function readControlPlaneData(directory: string): ControlPlaneData {
  const file = join(directory, 'control-plane.json');
  const rootCertFile = join(directory, 'root-cert.pem');
  if (!existsSync(file) || !existsSync(rootCertFile)) {
    throw new CommandError(
      `${directory} is not the data directory of a control plane that runs`,
      `start one with 'weft control-plane --data ${directory}', or give --control-plane, --root-cert and --join-token-file`,
      ExitCode.Data,
    );
  }
  try {
    const { addresses, trustDomain } = JSON.parse(readFileSync(file, 'utf8')) as {
      addresses: { xds: string; api: string };
      trustDomain: string;
    };
    return { rootCertFile, xds: addresses.xds, api: addresses.api, trustDomain };
  } catch (error) {
    throw new CommandError(
      `${file} cannot be read: ${(error as Error).message}`,
      'a control plane writes it when it starts',
      ExitCode.Data,
    );
  }
}
