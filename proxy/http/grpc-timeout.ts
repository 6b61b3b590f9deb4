/**
 * `grpc-timeout` (gRPC over HTTP/2, Requests): `TimeoutValue TimeoutUnit`, at most eight digits and one of H, M, S, m, u, n.
 */

/**
 * Milliseconds, rounded up so that a short deadline is not "none"; -1 where the field is malformed, which is then no deadline,
 * as in Envoy.
 */
export function parseGrpcTimeout(value: string): number {
  const digits = value.length - 1;
  if (digits < 1 || digits > DIGITS_MAX) return -1;
  let amount = 0;
  for (let at = 0; at < digits; at++) {
    const digit = value.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    amount = amount * 10 + digit;
  }
  switch (value[digits]) {
    case 'H':
      return amount * 3_600_000;
    case 'M':
      return amount * 60_000;
    case 'S':
      return amount * 1000;
    case 'm':
      return amount;
    case 'u':
      return Math.ceil(amount / 1000);
    case 'n':
      return Math.ceil(amount / 1_000_000);
    default:
      return -1;
  }
}

/** Whole milliseconds in the finest unit that eight digits can say; what is cut off is less than one of that unit. */
export function formatGrpcTimeout(ms: number): string {
  if (ms <= AMOUNT_MAX) return `${ms}m`;
  if (ms / 1000 < AMOUNT_MAX) return `${Math.floor(ms / 1000)}S`;
  if (ms / 60_000 < AMOUNT_MAX) return `${Math.floor(ms / 60_000)}M`;
  return `${Math.min(AMOUNT_MAX, Math.floor(ms / 3_600_000))}H`;
}

const DIGITS_MAX = 8;
const AMOUNT_MAX = 99_999_999;
