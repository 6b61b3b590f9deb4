import { toYaml } from '../../deploy/manifests/generated-files.ts';
import { definitionManifests, manifests } from '../../deploy/manifests/manifests.ts';
import type { CommandContext, CommandHandler } from '../command-table.ts';
import { ExitCode } from '../exit-code.ts';
import { readInstallation } from '../install-values.ts';

/**
 * `weft install | kubectl apply -f -`: prints what an installation puts into the cluster, in the order to apply it. Nothing is
 * changed by printing: what will be done can be read first.
 */
export const run: CommandHandler = async (context: CommandContext) => {
  const installation = await readInstallation(context);
  const parts = context.options['crds'] === true ? definitionManifests() : manifests(installation);
  const skipped =
    context.options['skipCrds'] === true
      ? parts.filter(({ kind }) => kind !== 'CustomResourceDefinition')
      : parts;
  context.terminal.out(skipped.map(toYaml).join('---\n'));
  if (context.terminal.isTty) {
    context.terminal.talk("to install: weft install | kubectl apply -f -; then 'weft check'\n");
  }
  return ExitCode.Ok;
};
