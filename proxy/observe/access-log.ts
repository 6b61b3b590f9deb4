import { type AccessLogFilter, accessLogFilterMatches } from './access-log-filter.ts';
import type { LineFormat } from './line-format.ts';
import type { RequestRecord } from './request-record.ts';

/** A compiled access log: filter, format and destination in one. */
export interface AccessLogSink {
  log(record: RequestRecord): void;
}

/** Where lines go; `AccessLogFile` in production, a list in tests. Never blocks, never throws. */
export interface LineSink {
  /** Takes the line of `record`, which `format` writes. */
  write(format: LineFormat, record: RequestRecord): void;
}

/** `filter` null: every request is logged. */
export function createAccessLog(
  format: LineFormat,
  destination: LineSink,
  filter: AccessLogFilter | null = null,
): AccessLogSink {
  return {
    log(record) {
      if (filter !== null && !accessLogFilterMatches(filter, record)) return;
      destination.write(format, record);
    },
  };
}
