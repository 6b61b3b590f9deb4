/** `1*DIGIT` up to 2^53 - 1, or -1: no sign, no list, no blanks (RFC 9110 §8.6, RFC 9112 §6.3). */
export function parseContentLength(value: string): number {
  const digits = value.length;
  if (digits === 0 || digits > 16) return -1;
  let length = 0;
  for (let at = 0; at < digits; at++) {
    const digit = value.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    length = length * 10 + digit;
  }
  return length <= Number.MAX_SAFE_INTEGER ? length : -1;
}

/** Statuses whose responses never have content (RFC 9110 §6.4.1). */
export function hasNoContent(status: number): boolean {
  return status < 200 || status === 204 || status === 304;
}
