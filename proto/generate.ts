/**
 * Generates `proto/gen/` (types, codecs, the field table and the two registries) from the `.proto` files beside this one. The
 * output is committed, so that a clone runs with no build step; a test compares it with a fresh run.
 *
 *   node proto/generate.ts [output directory]
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { FileDescriptor } from './descriptor.ts';
import { emitFields } from './emit-fields.ts';
import { emitCodecs, emitRegistry } from './emit-registry.ts';

const PROTO_DIR = import.meta.dirname;
const BIN_DIR = path.join(PROTO_DIR, '..', 'node_modules', '.bin');

/** Options of ts-proto; `proto/README.md` shows what each makes of a message. */
const TS_PROTO_OPTIONS = [
  'annotateFilesWithVersion=false', // the same output whatever the patch version
  'comments=false', // the well-known types carry pages of them
  'enumsAsLiterals=true', // erasable, unlike `enum`
  'env=both', // bytes are Uint8Array, decoded without a copy
  'esModuleInterop=true',
  'forceLong=number', // throws past 2^53; nothing in the subset reaches that
  'importSuffix=.ts',
  'oneof=unions-value',
  'outputJsonMethods=false', // proto/json.ts reports every problem instead of guessing
  'outputServices=grpc-js',
  'unrecognizedEnum=false',
  'useDate=false', // Timestamp keeps its nanoseconds
  'useExactTypes=false',
  'useMapType=true', // keys come from outside: never a plain object
  'useUnknownForValue=true',
];

/** Replaces `outDir` by the generated files once they are all there. Throws when buf fails. */
export function generate(outDir: string): void {
  const fresh = `${outDir}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  generateInto(fresh);
  rmSync(outDir, { recursive: true, force: true });
  renameSync(fresh, outDir);
}

function generateInto(outDir: string): void {
  const template = {
    version: 'v2',
    plugins: [
      {
        local: [process.execPath, path.join(BIN_DIR, 'protoc-gen-ts_proto')],
        out: '.',
        opt: TS_PROTO_OPTIONS,
        include_imports: true,
        include_wkt: true,
      },
    ],
  };
  buf('generate', PROTO_DIR, '--template', JSON.stringify(template), '--output', outDir);
  for (const file of readdirSync(outDir, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts')) continue;
    const full = path.join(outDir, file);
    writeFileSync(full, fitToProject(readFileSync(full, 'utf8')));
  }
  const files = describe(PROTO_DIR);
  writeFileSync(path.join(outDir, 'fields.ts'), emitFields(files));
  writeFileSync(path.join(outDir, 'registry.ts'), emitRegistry(files));
  writeFileSync(path.join(outDir, 'codecs.ts'), emitCodecs(files));
}

/** The descriptors of every `.proto` file under `dir` and of the well-known types they import. */
export function describe(dir: string): readonly FileDescriptor[] {
  const json = buf(
    'build',
    dir,
    '--as-file-descriptor-set',
    '--exclude-source-info',
    '-o',
    '-#format=json',
  );
  const set = JSON.parse(json.toString('utf8')) as { file: readonly FileDescriptor[] };
  return set.file.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function buf(...args: string[]): Buffer {
  return execFileSync(path.join(BIN_DIR, 'buf'), args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 256 << 20,
  });
}

/** What ts-proto has no option for. */
function fitToProject(source: string): string {
  return (
    source
      // Our compiler settings are stricter than its output; types still flow to importers.
      .replace(/^\/\/ Code generated.*\n/, (line) => `// @ts-nocheck\n${line}`)
      .replace('/* eslint-disable */\n', '')
      // Types of single enum values: nobody needs them, and `namespace` is not erasable.
      .replace(/\nexport namespace \w+ \{\n(?: {2,}.*\n)*\}\n/g, '')
      // A Struct's keys come from the wire; `__proto__` must be a key like any other.
      .replace(
        'const object: { [key: string]: any } = {};',
        'const object: { [key: string]: any } = globalThis.Object.create(null);',
      )
  );
}

if (import.meta.main) {
  generate(path.resolve(process.argv[2] ?? path.join(PROTO_DIR, 'gen')));
}
