import type { ReadObject } from '../../control-plane/kinds/documents.ts';
import { storedApiVersion } from '../../control-plane/kinds/kind.ts';
import type { Resource } from '../../control-plane/kinds/resource.ts';
import type { ApiClient } from '../api-client.ts';
import { connectApi } from '../api-connection.ts';
import { ApiError } from '../api-error.ts';
import type { CommandContext, CommandHandler } from '../command-table.ts';
import { CommandError, ExitCode } from '../exit-code.ts';
import { objectName } from '../kind-name.ts';
import { namespaceOf, readManifests, showProblems } from '../manifests.ts';
import { sameObject } from '../object-change.ts';

/**
 * `weft apply -f FILE`: each object is created, changed or left as it is; what is wrong with one does not keep the
 * others back, but makes the exit code 1 (65 where every object was wrong in its file).
 */
export const run: CommandHandler = async (context) => {
  const { options, terminal } = context;
  const dryRun = options['dryRun'] === true ? 'client' : (options['dryRun'] as string | undefined);
  const { objects, problems } = await readManifests(context);
  showProblems(context, problems);
  const suffix =
    dryRun === undefined ? '' : ` (${dryRun === 'client' ? 'dry run' : 'server dry run'})`;
  let failed = problems.length > 0;
  if (dryRun === 'client') {
    for (const { kind, manifest } of objects) {
      terminal.out(`${objectName(kind, manifest.metadata.name)} valid${suffix}\n`);
    }
    return failed ? ExitCode.Data : ExitCode.Ok;
  }
  if (objects.length === 0) return failed ? ExitCode.Data : ExitCode.Ok;
  const api = connectApi(context);
  for (const object of objects) {
    try {
      const verb = await applyObject(context, api, object, dryRun === 'server');
      terminal.out(`${objectName(object.kind, object.manifest.metadata.name)} ${verb}${suffix}\n`);
    } catch (error) {
      failed = true;
      showApiError(context, object, error);
    }
  }
  return failed ? ExitCode.Failure : ExitCode.Ok;
};

type Verb = 'created' | 'configured' | 'unchanged';

/** Reads, compares, writes with the version read; who else wrote in between makes it start again. */
async function applyObject(
  context: CommandContext,
  api: ApiClient,
  object: ReadObject,
  dryRun: boolean,
): Promise<Verb> {
  const namespace = namespaceOf(context, object);
  const { kind, manifest } = object;
  const { name, labels, annotations } = manifest.metadata;
  const wanted = {
    apiVersion: storedApiVersion(kind),
    kind: kind.kind,
    metadata: { name, namespace, labels, annotations },
    spec: manifest.spec,
  };
  for (let attempt = 1; ; attempt += 1) {
    const current = await getOrNone(api, object, namespace);
    try {
      if (current === undefined) {
        await api.create(kind, namespace, wanted, dryRun);
        return 'created';
      }
      if (sameObject(current, wanted)) return 'unchanged';
      const resourceVersion = manifest.metadata.resourceVersion ?? current.metadata.resourceVersion;
      const replacement = { ...wanted, metadata: { ...wanted.metadata, resourceVersion } };
      await api.replace(kind, namespace, name, replacement, dryRun);
      return 'configured';
    } catch (error) {
      const lostRace = error instanceof ApiError && (error.status === 409 || error.status === 404);
      const fixedVersion = manifest.metadata.resourceVersion !== undefined;
      if (!lostRace || fixedVersion || attempt === TRIES_MAX) throw error;
    }
  }
}

const TRIES_MAX = 5;

export async function getOrNone(
  api: ApiClient,
  { kind, manifest }: ReadObject,
  namespace: string,
): Promise<Resource | undefined> {
  try {
    return await api.get(kind, namespace, manifest.metadata.name);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}

/** What the server found wrong, at the object's place in its file. Rethrows what is not about this object. */
export function showApiError(
  { terminal }: CommandContext,
  object: ReadObject,
  error: unknown,
): void {
  if (error instanceof CommandError && error.exitCode === ExitCode.Usage) {
    terminal.talk(`${error.message}\n${error.hint}\n`);
    return;
  }
  if (!(error instanceof ApiError)) throw error;
  const at = `${object.file}:${object.line}`;
  if (error.causes.length === 0) terminal.talk(`${at}: ${error.reason}: ${error.message}\n`);
  for (const { field, message } of error.causes) {
    terminal.talk(`${at}: ${field === '' ? '' : `${field}: `}${message}\n`);
  }
}
