import { isIP } from 'node:net';

/** Bytes of a hosts file that are read. */
export const HOSTS_FILE_BYTES_MAX = 1024 * 1024;
/** Addresses of one name. */
const ADDRESSES_PER_NAME_MAX = 64;

/** `hosts(5)`: name in lower case → addresses in file order. Lines that make no sense are skipped. */
export function parseHostsFile(text: string): ReadonlyMap<string, readonly string[]> {
  const names = new Map<string, string[]>();
  for (const line of text.slice(0, HOSTS_FILE_BYTES_MAX).split('\n')) {
    const hash = line.indexOf('#');
    const words = (hash < 0 ? line : line.slice(0, hash)).split(/[\t\r ]+/).filter(Boolean);
    const address = words[0];
    if (address === undefined || isIP(address) === 0) continue;
    for (const word of words.slice(1)) {
      const name = word.toLowerCase();
      const addresses = names.get(name);
      if (addresses === undefined) names.set(name, [address]);
      else if (addresses.length < ADDRESSES_PER_NAME_MAX && !addresses.includes(address)) {
        addresses.push(address);
      }
    }
  }
  return names;
}
