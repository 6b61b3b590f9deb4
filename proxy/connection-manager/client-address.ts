import { isIP } from 'node:net';
import { type HeaderBlock, headerValues } from '../http/header-block.ts';

/**
 * The client's address as `x-forwarded-for` gives it once this proxy has appended its own peer (at edges, PR-16):
 * counted from the right, `trustedHops` entries are of proxies that are trusted (`xff_num_trusted_hops`), and the next
 * one is what the outermost of them saw. null where there is no such entry, or it is no address; then the connection's
 * peer is the client.
 */
export function trustedClientAddress(headers: HeaderBlock, trustedHops: number): string | null {
  const field = headerValues(headers, 'x-forwarded-for');
  if (field === null) return null;
  let end = field.length;
  for (let skipped = 0; skipped < trustedHops; skipped++) {
    end = field.lastIndexOf(',', end - 1);
    if (end <= 0) return null;
  }
  const start = field.lastIndexOf(',', end - 1) + 1;
  const address = field.slice(start, end).trim();
  return isIP(address) === 0 ? null : address;
}
