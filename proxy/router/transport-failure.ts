/**
 * The text that follows `transport failure reason:` in Envoy's local replies, from what the socket
 * layer reported. System errors get Envoy's words (`delayed connect error: Connection refused`);
 * anything else, such as a TLS verify error, is shown as it is.
 */
export function transportFailureReason(detail: string): string {
  return SYSTEM_ERRORS.get(detail) ?? detail;
}

const SYSTEM_ERRORS: ReadonlyMap<string, string> = new Map([
  ['ECONNREFUSED', 'delayed connect error: Connection refused'],
  ['ETIMEDOUT', 'delayed connect error: Connection timed out'],
  ['ECONNRESET', 'delayed connect error: Connection reset by peer'],
  ['EHOSTUNREACH', 'delayed connect error: No route to host'],
  ['ENETUNREACH', 'immediate connect error: Network is unreachable'],
  ['EADDRNOTAVAIL', 'immediate connect error: Cannot assign requested address'],
  ['EACCES', 'immediate connect error: Permission denied'],
]);
