import { DNS_LABEL } from '../control-plane/kinds/name-format.ts';
import { SYSTEM_NAMESPACE } from '../control-plane/kubernetes/own-objects.ts';
import type { Installation } from '../deploy/manifests/installation.ts';
import { readValues, ValuesError, type ValuesFile } from '../deploy/manifests/read-values.ts';
import type { CommandContext } from './command-table.ts';
import { CommandError, ExitCode } from './exit-code.ts';
import { readManifestFiles } from './manifest-files.ts';
import { ownVersion } from './own-version.ts';

/** What `--values`, `--set` and `-n` say about an installation. */
export async function readInstallation({ options }: CommandContext): Promise<Installation> {
  const namespace = String(options['namespace'] ?? SYSTEM_NAMESPACE);
  const wrong = DNS_LABEL.check(namespace);
  if (wrong !== undefined) {
    throw new CommandError(`-n ${namespace}: ${wrong}`, '', ExitCode.Usage);
  }
  const names = (options['values'] as readonly string[] | undefined) ?? [];
  const files: readonly ValuesFile[] =
    names.length === 0 ? [] : await readManifestFiles(names, false);
  const settings = (options['set'] as readonly string[] | undefined) ?? [];
  const version = ownVersion();
  try {
    return { values: readValues(settings, version, files), namespace, version };
  } catch (error) {
    if (!(error instanceof ValuesError)) throw error;
    throw new CommandError(
      error.message,
      'deploy/helm/weft/values.yaml lists all values with their defaults',
      ExitCode.Data,
    );
  }
}
