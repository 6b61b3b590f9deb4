import { isUtf8 } from 'node:buffer';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { CommandError, ExitCode } from './exit-code.ts';

/** A text to read policy objects from, with the name that messages give it. */
export interface ManifestFile {
  readonly file: string;
  readonly text: string;
}

/**
 * The files that `-f` names, in order: a directory stands for its .yaml, .yml and .json files by name (with
 * `recursive` also those below), `-` for standard input.
 */
export async function readManifestFiles(
  names: readonly string[],
  recursive: boolean,
): Promise<ManifestFile[]> {
  if (names.length === 0) {
    throw new CommandError(
      'no file given',
      'name one with -f FILE, -f DIR or -f -',
      ExitCode.Usage,
    );
  }
  const files: ManifestFile[] = [];
  for (const name of names) {
    if (name === '-') files.push({ file: name, text: await readStandardInput() });
    else files.push(...open(name, recursive));
  }
  return files;
}

/** As a stream: a pipe that another program set to non-blocking fails a synchronous read with EAGAIN. */
async function readStandardInput(): Promise<string> {
  let bytes: Buffer;
  try {
    bytes = await buffer(process.stdin);
  } catch (error) {
    throw unreadable('standard input', error);
  }
  return decode('standard input', bytes);
}

function open(name: string, recursive: boolean): ManifestFile[] {
  let isDirectory: boolean;
  try {
    isDirectory = statSync(name).isDirectory();
  } catch (error) {
    throw unreadable(name, error);
  }
  if (!isDirectory) return [{ file: name, text: read(name) }];
  const found = filesBelow(name, recursive, 0);
  if (found.length === 0) {
    throw new CommandError(
      `${name} holds no .yaml, .yml or .json file`,
      recursive ? '' : 'add -R to look in the directories below',
      ExitCode.Data,
    );
  }
  return found.map((file) => ({ file, text: read(file) }));
}

function filesBelow(directory: string, recursive: boolean, depth: number): string[] {
  if (depth > DIRECTORY_DEPTH_MAX) return [];
  const entries = readdirSync(directory, { withFileTypes: true });
  return entries
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) return recursive ? filesBelow(path, true, depth + 1) : [];
      return EXTENSIONS.has(extname(entry.name)) ? [path] : [];
    });
}

function read(file: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw unreadable(file, error);
  }
  return decode(file, bytes);
}

/** A byte order mark stays: what is written back must be what was read. */
function decode(name: string, bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  throw new CommandError(`${name} is not UTF-8 text`, 'save it as UTF-8', ExitCode.Data);
}

function unreadable(name: string, error: unknown): CommandError {
  return new CommandError(`${name} cannot be read: ${(error as Error).message}`, '', ExitCode.Data);
}

const EXTENSIONS = new Set(['.yaml', '.yml', '.json']);
const DIRECTORY_DEPTH_MAX = 32;
