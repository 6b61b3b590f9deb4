import { readFileSync } from 'node:fs';
import { type InjectionSettings, readInjectionSettings } from '../injector/settings.ts';
import { formatPath, formatProblem, type Problem } from '../kinds/problem.ts';
import type { Fields } from '../kinds/schema.ts';
import { readSource } from '../kinds/source-text.ts';

export interface InjectionSettingsSourceOptions {
  /** YAML or JSON; null = defaults alone. */
  readonly file: string | null;
  /** What the control plane knows of itself, before the file: its address, its trust domain. */
  readonly defaults: Fields;
  readonly schedule: (delayMs: number, callback: () => void) => () => void;
  readonly log: {
    info(fields: object, message: string): void;
    error(fields: object, message: string): void;
  };
}

/**
 * Milliseconds between looks at the file. It is read and not watched: a mounted ConfigMap is a link that is moved, which
 * watches of the file do not tell.
 */
const LOOK_MS = 2000;
const YAML_CHARS_MAX = 128 * 1024;

/** The injection settings of the moment. A file that becomes wrong is reported, and what it said before holds. */
export class InjectionSettingsSource {
  readonly #options: InjectionSettingsSourceOptions;
  #text: string;
  #settings: InjectionSettings;
  #cancel: () => void = () => undefined;

  private constructor(
    options: InjectionSettingsSourceOptions,
    text: string,
    read: InjectionSettings,
  ) {
    this.#options = options;
    this.#text = text;
    this.#settings = read;
    if (options.file !== null) this.#again(options.file);
  }

  /** The settings, or everything that is wrong with the file. */
  static open(
    options: InjectionSettingsSourceOptions,
  ): InjectionSettingsSource | { readonly problems: readonly string[] } {
    const text = options.file === null ? '' : readText(options.file);
    if (typeof text !== 'string') return text;
    const read = parse(text, options);
    return 'problems' in read ? read : new InjectionSettingsSource(options, text, read.settings);
  }

  get settings(): InjectionSettings {
    return this.#settings;
  }

  close(): void {
    this.#cancel();
  }

  #again(file: string): void {
    this.#cancel = this.#options.schedule(LOOK_MS, () => {
      this.#look(file);
      this.#again(file);
    });
  }

  #look(file: string): void {
    const { log } = this.#options;
    const text = readText(file);
    // Away for a moment while the link moves, or for good: what it said holds.
    if (typeof text !== 'string' || text === this.#text) return;
    this.#text = text;
    const read = parse(text, this.#options);
    if ('problems' in read) {
      const { problems } = read;
      log.error({ file, problems }, 'the injection settings are not valid; those before hold');
      return;
    }
    this.#settings = read.settings;
    log.info({ file }, 'injection settings read again');
  }
}

function readText(file: string): string | { readonly problems: readonly string[] } {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    return { problems: [`${file}: cannot be read: ${(error as Error).message}`] };
  }
}

function parse(
  text: string,
  { file, defaults }: InjectionSettingsSourceOptions,
): { settings: InjectionSettings } | { problems: readonly string[] } {
  const name = file ?? 'injection settings';
  const source = readSource(text, YAML_CHARS_MAX);
  const [document] = source.documents;
  const problemAt = (offset: number, path: string, message: string): string => {
    const problem: Problem = {
      file: name,
      ...source.position(offset),
      path,
      message,
      code: 'invalid',
    };
    return formatProblem(problem);
  };
  const wrong = [...source.problems, ...(document?.problems ?? [])];
  if (wrong.length > 0) {
    return { problems: wrong.map(({ offset, message }) => problemAt(offset, '', message)) };
  }
  const value = document?.value ?? {};
  if (typeof value !== 'object' || Array.isArray(value) || source.documents.length > 1) {
    return { problems: [problemAt(0, '', 'must be one map of settings')] };
  }
  const read = readInjectionSettings(JSON.parse(JSON.stringify({ ...defaults, ...value })));
  if ('settings' in read) return read;
  const problems = read.problems.map(({ path, message }) =>
    problemAt(document?.locate(path, 'value') ?? 0, formatPath(path), message),
  );
  return { problems };
}
