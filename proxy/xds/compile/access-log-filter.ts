import type {
  AccessLogFilter as AccessLogFilterProto,
  ComparisonFilter,
  ResponseFlagFilter,
} from '../../../proto/gen/envoy/config/accesslog/v3/accesslog.ts';
import {
  type AccessLogFilter,
  type ComparisonOp,
  responseFlagBits,
} from '../../observe/access-log-filter.ts';
import { ResponseFlag } from '../../observe/request-record.ts';
import type { MessageReader } from './message-reader.ts';

const SUPPORTED =
  'status_code_filter, duration_filter, response_flag_filter, and_filter or or_filter';

/** `envoy.config.accesslog.v3.AccessLogFilter`: which requests a log takes. */
export function compileAccessLogFilter(
  reader: MessageReader<AccessLogFilterProto>,
): AccessLogFilter {
  const set = reader.oneof('filterSpecifier');
  switch (set?.$case) {
    case 'statusCodeFilter':
      return {
        kind: 'statusCode',
        ...compileComparison(reader.caseReader(set).child('comparison')),
      };
    case 'durationFilter':
      return {
        kind: 'duration',
        ...compileComparison(reader.caseReader(set).child('comparison')),
      };
    case 'responseFlagFilter':
      return compileResponseFlags(reader.caseReader(set));
    case 'andFilter': {
      const filters = reader.caseReader(set).children('filters').map(compileAccessLogFilter);
      return { kind: 'and', filters };
    }
    case 'orFilter': {
      const filters = reader.caseReader(set).children('filters').map(compileAccessLogFilter);
      return { kind: 'or', filters };
    }
    default:
      reader.unsupportedCase(set, SUPPORTED);
      return { kind: 'or', filters: [] };
  }
}

function compileComparison(reader: MessageReader<ComparisonFilter> | undefined): {
  readonly op: ComparisonOp;
  readonly value: number;
} {
  if (reader === undefined) return { op: 'GE', value: 0 };
  const value = reader.child('value')?.take('defaultValue') ?? 0;
  const op = reader.choice<ComparisonOp>(
    'op',
    [
      [0, 'EQ', 'EQ'],
      [1, 'GE', 'GE'],
      [2, 'LE', 'LE'],
    ],
    'GE',
  );
  return { op, value };
}

/** No flag listed: any flag at all. */
function compileResponseFlags(reader: MessageReader<ResponseFlagFilter>): AccessLogFilter {
  const flags = responseFlagBits(reader.take('flags'));
  if (typeof flags === 'number') return { kind: 'responseFlag', flags };
  const known = Object.keys(ResponseFlag).join(', ');
  reader.problem('flags', `"${flags.unknown}" is not one of ${known}`);
  return { kind: 'responseFlag', flags: 0 };
}
