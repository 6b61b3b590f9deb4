import type { RequestRecord } from './request-record.ts';

/** A compiled access log: filter, format and destination in one. */
export interface AccessLogSink {
  log(record: RequestRecord): void;
}
