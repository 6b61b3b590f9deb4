import type { DataSource } from '../../../proto/gen/envoy/config/core/v3/base.ts';
import type { CompileContext } from './compile-context.ts';
import type { MessageReader } from './message-reader.ts';

/** `envoy.config.core.v3.DataSource`, read now. Empty after a problem. */
export function readDataSource(reader: MessageReader<DataSource>, context: CompileContext): Buffer {
  reader.take('watchedDirectory');
  const set = reader.oneof('specifier');
  switch (set?.$case) {
    case 'inlineString':
      return Buffer.from(set.value);
    case 'inlineBytes':
      return Buffer.from(set.value);
    case 'filename':
      try {
        return context.readFile(set.value);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        reader.caseProblem(set, `cannot be read: ${reason}`);
        return Buffer.alloc(0);
      }
    case 'environmentVariable': {
      const value = context.environment(set.value);
      if (value === undefined) {
        reader.caseProblem(set, `the environment variable ${set.value} is not set`);
      }
      return Buffer.from(value ?? '');
    }
    default:
      reader.unsupportedCase(set, 'filename, inline_string, inline_bytes or environment_variable');
      return Buffer.alloc(0);
  }
}
