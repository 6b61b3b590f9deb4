import type { InjectionSettings } from '../../control-plane/injector/settings.ts';
import type { CommandHandler } from '../command-table.ts';
import { changeManifests } from '../inject/change-manifests.ts';
import { injectManifest } from '../inject/manifest-injection.ts';
import { readSettingsOptions } from '../inject/settings-options.ts';
import { namespaceOption } from '../manifests.ts';

/**
 * `weft inject -f FILE|DIR|-`: the manifests with the sidecar in every pod that may have it, on standard output; what
 * became of each object on standard error. Exit 65, and nothing on standard output, where a file or a pod is not right.
 */
export const run: CommandHandler = async (context) => {
  const settings: InjectionSettings = await readSettingsOptions(context);
  const namespace = namespaceOption(context.options);
  return changeManifests(context, ({ file, text }) =>
    injectManifest(text, file, namespace, settings),
  );
};
