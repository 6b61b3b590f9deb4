import { toYaml } from '../../deploy/manifests/generated-files.ts';
import { manifests } from '../../deploy/manifests/manifests.ts';
import type { CommandContext, CommandHandler } from '../command-table.ts';
import { ExitCode } from '../exit-code.ts';
import { readInstallation } from '../install-values.ts';

/**
 * `weft uninstall | kubectl delete --ignore-not-found -f -`: prints what an installation put into the cluster, webhooks first, so
 * that no pod waits for a control plane that is gone. The policy kinds stay, and with them all policies, unless
 * `--crds` asks for them too.
 */
export const run: CommandHandler = async (context: CommandContext) => {
  const all = manifests(await readInstallation(context));
  const gone = all
    .filter(({ kind }) => context.options['crds'] === true || kind !== 'CustomResourceDefinition')
    .toReversed()
    .map(({ apiVersion, kind, metadata: { name, namespace } }) => ({
      apiVersion,
      kind,
      metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
    }));
  context.terminal.out(gone.map(toYaml).join('---\n'));
  if (context.terminal.isTty) {
    context.terminal.talk(
      'to uninstall: weft uninstall | kubectl delete --ignore-not-found -f -; pods keep their sidecars until they are restarted\n',
    );
  }
  return ExitCode.Ok;
};
