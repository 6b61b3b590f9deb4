import { isIPv4, isIPv6 } from 'node:net';
import { addressNumber, addressText } from './ip-range.ts';

/** resolv.conf(5): lines `nameserver ADDRESS`; what is no address is passed over, as the resolver does. */
export function parseNameservers(text: string): {
  readonly v4: readonly string[];
  readonly v6: readonly string[];
} {
  const v4 = new Set<string>();
  const v6 = new Set<string>();
  for (const line of text.split('\n')) {
    const [word, address = ''] = line.trim().split(/\s+/);
    if (word !== 'nameserver') continue;
    if (isIPv4(address)) v4.add(address);
    // A rule knows no zone (fe80::1%eth0); and text in the kernel's spelling compares equal later.
    else if (isIPv6(address)) v6.add(addressText('v6', addressNumber(address)));
  }
  return { v4: [...v4], v6: [...v6] };
}
