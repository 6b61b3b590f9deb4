import type { RequestRecord } from './request-record.ts';
import { ResponseFlag } from './request-record.ts';

/** Which requests are logged: the parts of `envoy.config.accesslog.v3.AccessLogFilter` that Weft knows. */
export type AccessLogFilter =
  /** `status_code_filter`; a request without a response counts as 0. */
  | { readonly kind: 'statusCode'; readonly op: ComparisonOp; readonly value: number }
  /** `duration_filter`, milliseconds. */
  | { readonly kind: 'duration'; readonly op: ComparisonOp; readonly value: number }
  /** `response_flag_filter`: any of these bits; 0 = any flag at all. */
  | { readonly kind: 'responseFlag'; readonly flags: number }
  | { readonly kind: 'and' | 'or'; readonly filters: readonly AccessLogFilter[] };

/** `ComparisonFilter.Op`. */
export type ComparisonOp = 'EQ' | 'GE' | 'LE' | 'NE';

export function accessLogFilterMatches(filter: AccessLogFilter, record: RequestRecord): boolean {
  switch (filter.kind) {
    case 'statusCode':
      return compare(filter.op, record.status, filter.value);
    case 'duration':
      return compare(filter.op, Math.max(0, record.endMs - record.startMs), filter.value);
    case 'responseFlag':
      return filter.flags === 0 ? record.flags !== 0 : (record.flags & filter.flags) !== 0;
    case 'and':
      return filter.filters.every((part) => accessLogFilterMatches(part, record));
    case 'or':
      return filter.filters.some((part) => accessLogFilterMatches(part, record));
  }
}

/** `['UF', 'URX']` as bits, or the name that is no flag. */
export function responseFlagBits(names: readonly string[]): number | { readonly unknown: string } {
  let bits = 0;
  for (const name of names) {
    const bit = FLAG_BITS.get(name);
    if (bit === undefined) return { unknown: name };
    bits |= bit;
  }
  return bits;
}
const FLAG_BITS: ReadonlyMap<string, number> = new Map(Object.entries(ResponseFlag));

function compare(op: ComparisonOp, left: number, right: number): boolean {
  switch (op) {
    case 'EQ':
      return left === right;
    case 'NE':
      return left !== right;
    case 'GE':
      return left >= right;
    case 'LE':
      return left <= right;
  }
}
