import type { FieldPath } from '../../../proto/field-path.ts';
import type { SubstitutionFormatString } from '../../../proto/gen/envoy/config/core/v3/substitution_format_string.ts';
import {
  type AccessLogFormatOptions,
  compileJsonAccessLog,
  compileTextAccessLog,
} from '../../observe/access-log-format.ts';
import { compileFormat } from '../../observe/format.ts';
import type { JsonFormatTemplate } from '../../observe/json-template.ts';
import type { LineFormat } from '../../observe/line-format.ts';
import type { CompileContext } from './compile-context.ts';
import { readDataSource } from './data-source.ts';
import type { MessageReader } from './message-reader.ts';
import type { Problems } from './problems.ts';

type Struct = { [key: string]: unknown };

/** `envoy.config.core.v3.SubstitutionFormatString` as the format of an access log. */
export function compileLogFormat(
  reader: MessageReader<SubstitutionFormatString>,
  context: CompileContext,
): LineFormat | undefined {
  const options = { omitEmptyValues: reader.bool('omitEmptyValues') };
  reader.child('jsonFormatOptions')?.take('sortProperties'); // keys keep the order they came in
  const set = reader.oneof('format');
  switch (set?.$case) {
    case 'textFormat':
      return textFormat(set.value, reader.problems, reader.caseAt('textFormat'), options);
    case 'textFormatSource': {
      const text = readDataSource(reader.caseReader(set), context).toString();
      return textFormat(text, reader.problems, reader.caseAt('textFormatSource'), options);
    }
    case 'jsonFormat':
      return jsonFormat(set.value, reader.problems, reader.caseAt('jsonFormat'), options);
    default:
      reader.unsupportedCase(set, 'text_format, text_format_source or json_format');
      return undefined;
  }
}

export function textFormat(
  source: string,
  problems: Problems,
  path: FieldPath,
  options: AccessLogFormatOptions = {},
): LineFormat | undefined {
  const format = compileTextAccessLog(source, options);
  if (!('problem' in format)) return format;
  problems.add(path, format.problem);
  return undefined;
}

export function jsonFormat(
  template: Struct | undefined,
  problems: Problems,
  path: FieldPath,
  options: AccessLogFormatOptions = {},
): LineFormat | undefined {
  // A Struct holds JSON values and nothing else.
  const json = (template ?? {}) as { readonly [key: string]: JsonFormatTemplate };
  const format = compileJsonAccessLog(json, options);
  if (!('problem' in format)) return format;
  problems.add(path, format.problem);
  return undefined;
}

/** What is wrong with the format of a header's value, or ''. */
export function checkFormat(source: string): string {
  const format = compileFormat(source);
  return 'problem' in format ? format.problem : '';
}
