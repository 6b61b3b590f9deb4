import type { AccessLog } from '../../../proto/gen/envoy/config/accesslog/v3/accesslog.ts';
import type { FileAccessLog } from '../../../proto/gen/envoy/extensions/access_loggers/file/v3/file.ts';
import type { AccessLogSink } from '../../observe/access-log.ts';
import type { AccessLogFilter } from '../../observe/access-log-filter.ts';
import { ENVOY_TEXT_FORMAT } from '../../observe/access-log-format.ts';
import type { LineFormat } from '../../observe/line-format.ts';
import { compileAccessLogFilter } from './access-log-filter.ts';
import type { CompileContext } from './compile-context.ts';
import type { MessageReader } from './message-reader.ts';
import { compileLogFormat, jsonFormat, textFormat } from './substitution-format.ts';

/** Where the lines of one access log go, which requests it takes and how they are written. */
export interface AccessLogDestination {
  /** A file, or `/dev/stdout`, `/dev/stderr`. */
  readonly path: string;
  readonly format: LineFormat;
  /** Null takes every record. */
  readonly filter: AccessLogFilter | null;
}

const FILE = 'envoy.extensions.access_loggers.file.v3.FileAccessLog';
const STDOUT = 'envoy.extensions.access_loggers.stream.v3.StdoutAccessLog';
const STDERR = 'envoy.extensions.access_loggers.stream.v3.StderrAccessLog';

/** `access_log` of a listener, connection manager or TCP proxy (OB-07). */
export function compileAccessLogs(
  readers: readonly MessageReader<AccessLog>[],
  context: CompileContext,
): AccessLogSink[] {
  const sinks: AccessLogSink[] = [];
  for (const reader of readers) {
    const destination = compileAccessLog(reader, context);
    if (destination === undefined) continue;
    const sink = context.accessLog(destination);
    if ('problem' in sink) reader.problems.add(reader.caseAt('typedConfig', 'path'), sink.problem);
    else sinks.push(sink);
  }
  return sinks;
}

function compileAccessLog(
  reader: MessageReader<AccessLog>,
  context: CompileContext,
): AccessLogDestination | undefined {
  reader.take('name');
  const filterReader = reader.child('filter');
  const filter = filterReader === undefined ? null : compileAccessLogFilter(filterReader);
  const config = reader.take('configType');
  const path = reader.caseAt('typedConfig');
  const found = reader.unpack(config?.value, path, [FILE, STDOUT, STDERR]);
  if (found === undefined) return undefined;
  if (found.name === FILE) {
    const format = fileFormat(found.reader, context);
    const file = found.reader.required('path');
    return format === undefined ? undefined : { path: file, format, filter };
  }
  const set = found.reader.oneof('accessLogFormat');
  const format =
    set === undefined
      ? textFormat(ENVOY_TEXT_FORMAT, reader.problems, path)
      : compileLogFormat(found.reader.caseReader(set), context);
  const stream = found.name === STDOUT ? '/dev/stdout' : '/dev/stderr';
  return format === undefined ? undefined : { path: stream, format, filter };
}

function fileFormat(
  reader: MessageReader<FileAccessLog>,
  context: CompileContext,
): LineFormat | undefined {
  const set = reader.oneof('accessLogFormat');
  switch (set?.$case) {
    case undefined:
      return textFormat(ENVOY_TEXT_FORMAT, reader.problems, reader.path);
    case 'format':
      return textFormat(set.value, reader.problems, reader.caseAt('format'));
    case 'jsonFormat':
    case 'typedJsonFormat':
      return jsonFormat(set.value, reader.problems, reader.caseAt(set.$case));
    case 'logFormat':
      return compileLogFormat(reader.caseReader(set), context);
    default:
      reader.unsupportedCase(set, 'log_format, format, json_format or typed_json_format');
      return undefined;
  }
}
