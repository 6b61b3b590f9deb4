import { isMap } from '../../control-plane/injector/pod.ts';
import {
  type InjectionSettings,
  readInjectionSettings,
} from '../../control-plane/injector/settings.ts';
import { formatPath, formatProblem } from '../../control-plane/kinds/problem.ts';
import type { Fields } from '../../control-plane/kinds/schema.ts';
import type { SourceDocument, SourceText } from '../../control-plane/kinds/source-document.ts';
import { readSource, SOURCE_CHARS_MAX } from '../../control-plane/kinds/source-text.ts';
import type { CommandContext } from '../command-table.ts';
import { CommandError, ExitCode } from '../exit-code.ts';
import { readManifestFiles } from '../manifest-files.ts';

/** Settings by the flag that sets each. */
const FLAGS = {
  image: { option: 'image', flag: '--image' },
  controlPlane: { option: 'controlPlane', flag: '--control-plane' },
  trustDomain: { option: 'trustDomain', flag: '--trust-domain' },
  nativeSidecar: { option: 'nativeSidecars', flag: '--native-sidecars' },
  holdApplicationUntilProxyStarts: { option: 'holdApplication', flag: '--hold-application' },
} as const;

/** The settings of `--injection-settings`, and what flags say before it. Throws where either is not right. */
export async function readSettingsOptions({ options }: CommandContext): Promise<InjectionSettings> {
  const name = options['injectionSettings'];
  const file = typeof name === 'string' ? await readFile(name) : undefined;
  const flags: Fields = {};
  for (const [setting, { option }] of Object.entries(FLAGS)) {
    const value = options[option];
    if (value !== undefined)
      flags[setting] = /^(true|false)$/.test(String(value)) ? value === 'true' : value;
  }
  const read = readInjectionSettings({ ...file?.value, ...flags });
  if ('settings' in read) return read.settings;
  const lines = read.problems.map(({ path, message }) => {
    const setting = String(path[0]) as keyof typeof FLAGS;
    if (Object.hasOwn(flags, setting)) return `${FLAGS[setting].flag}: ${message}`;
    if (file === undefined) return `${formatPath(path)}: ${message}`;
    const place = file.source.position(file.document.locate(path, 'value'));
    const problem = { ...place, file: String(name), path: formatPath(path), message };
    return formatProblem({ ...problem, code: 'invalid' });
  });
  const inFlags = read.problems.some(({ path }) => Object.hasOwn(flags, String(path[0])));
  throw new CommandError(
    `the settings of injection are not right\n${lines.join('\n')}`,
    '',
    inFlags ? ExitCode.Usage : ExitCode.Data,
  );
}

async function readFile(
  name: string,
): Promise<{ value: Fields; source: SourceText; document: SourceDocument }> {
  const [file] = await readManifestFiles([name], false);
  const source = readSource(file!.text, SOURCE_CHARS_MAX);
  const [document, ...others] = source.documents;
  const problem = source.problems[0] ?? document?.problems[0];
  if (problem !== undefined) {
    const { line, column } = source.position(problem.offset);
    throw new CommandError(`${name}:${line}:${column}: ${problem.message}`, '', ExitCode.Data);
  }
  if (document === undefined || others.length > 0 || !isMap(document.value)) {
    throw new CommandError(`${name} is not one map of settings`, '', ExitCode.Data);
  }
  return { value: document.value, source, document };
}
