import type { CommandHandler } from '../command-table.ts';
import { changeManifests } from '../inject/change-manifests.ts';
import { uninjectManifest } from '../inject/manifest-injection.ts';

/**
 * `weft uninject -f FILE|DIR|-`: the manifests as they were before `weft inject`. A text that was edited since then, or
 * that comes from the cluster, loses what was injected and keeps the rest.
 */
export const run: CommandHandler = (context) =>
  changeManifests(context, ({ file, text }) => uninjectManifest(text, file));
