import { readFileSync } from 'node:fs';
import type { FieldPath } from '../../../proto/field-path.ts';
import type { AccessLogSink } from '../../observe/access-log.ts';
import type { AccessLogDestination } from './access-log.ts';
import type { InlineSecret } from './secret.ts';

/** What the compilers need of the outside; a test gives literals. */
export interface CompileContext {
  /** Where the resource stands in a file (`static_resources`, `listeners`, 0), or empty. */
  readonly root: FieldPath;
  /** Reads a file named by a `DataSource`, whole. Throws what `fs.readFileSync` throws. */
  readonly readFile: (path: string) => Buffer;
  /** Value of an environment variable named by a `DataSource`, or undefined. */
  readonly environment: (name: string) => string | undefined;
  /** Joins a compiled format and a destination; sinks of one destination share a queue. */
  readonly accessLog: (
    destination: AccessLogDestination,
  ) => AccessLogSink | { readonly problem: string };
  /** Keeps a certificate or trusted roots written into a TLS context, under the name that it answers. */
  readonly inlineSecret: (secret: InlineSecret) => string;
}

/** Compiles for the sake of the problems: files are read, nothing is opened and nothing kept. */
export function checkOnlyContext(
  root: FieldPath,
  environment: (name: string) => string | undefined,
): CompileContext {
  return {
    root,
    readFile: (path) => readFileSync(path),
    environment,
    accessLog: () => ({ log() {} }),
    inlineSecret: () => '',
  };
}
