import { isIP } from 'node:net';

/** What `resolv.conf(5)` says that is used here. */
export interface ResolvConf {
  /** IP addresses, in their order. */
  readonly nameservers: readonly string[];
  /** Of the last `search` or `domain` line. */
  readonly search: readonly string[];
  readonly ndots: number;
}

/** As the resolver library of the C library takes them; more are passed over. */
const NAMESERVERS_MAX = 8;
const SEARCH_MAX = 6;
const LINES_MAX = 1_000;

export function parseResolvConf(text: string): ResolvConf {
  const nameservers: string[] = [];
  let search: readonly string[] = [];
  let ndots = 1;
  for (const line of text.split('\n').slice(0, LINES_MAX)) {
    const [key = '', ...words] = line.trim().split(/\s+/);
    if (key === 'search' || key === 'domain') search = words.slice(0, SEARCH_MAX);
    else if (key === 'nameserver') {
      const address = words[0] ?? '';
      if (isIP(address) !== 0 && nameservers.length < NAMESERVERS_MAX) nameservers.push(address);
    } else if (key === 'options') {
      for (const option of words) {
        if (/^ndots:\d{1,2}$/.test(option)) ndots = Math.min(Number(option.slice(6)), 15);
      }
    }
  }
  return { nameservers, search, ndots };
}
