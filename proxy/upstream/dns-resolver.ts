import { Resolver } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { type Clock, MONOTONIC_CLOCK } from '../tcp/timer-list.ts';
import { HOSTS_FILE_BYTES_MAX, parseHostsFile } from './hosts-file.ts';
import { parseResolvConf, type ResolvConf } from './resolv-conf.ts';

export type DnsFamily = 'V4_ONLY' | 'V6_ONLY' | 'AUTO';

export interface DnsAnswer {
  /** Sorted, so that equal answers compare equal; empty: the name has no address of the family. */
  readonly addresses: readonly string[];
  /** '' or why there is no answer (the name may still exist). */
  readonly problem: string;
}

/** Addresses of one answer that are used; more are cut (D27). */
const DNS_ANSWERS_MAX = 256;

/** Asks the network. `dns.Resolver` (c-ares) outside tests. */
export interface DnsQueries {
  resolve4(name: string): Promise<readonly string[]>;
  resolve6(name: string): Promise<readonly string[]>;
}

export interface DnsResolverOptions {
  /** Default: the servers of resolv.conf, 2 s and 2 tries each. */
  readonly queries?: DnsQueries;
  readonly clock?: Clock;
  /** Default `/etc/hosts`. */
  readonly hostsPath?: string;
  /** Default `/etc/resolv.conf`: its `search` and `ndots` apply to short names. */
  readonly resolvConfPath?: string;
}

/**
 * Host names to addresses: the hosts file first, then DNS over c-ares. Never `getaddrinfo`, whose
 * four threads one dead name server can hold (D27). `localhost` needs no file (RFC 6761 §6.3).
 */
export class DnsResolver {
  readonly #queries: DnsQueries;
  readonly #clock: Clock;
  readonly #hostsPath: string;
  readonly #resolvConfPath: string;
  #hosts: ReadonlyMap<string, readonly string[]> = new Map();
  #search: ResolvConf = parseResolvConf('');
  #filesReadAtMs = -Infinity;
  #reading: Promise<void> | null = null;
  /** Questions on their way, so that many endpoints of one name ask once. */
  readonly #asking = new Map<string, Promise<DnsAnswer>>();

  constructor(options: DnsResolverOptions = {}) {
    this.#queries = options.queries ?? new Resolver({ timeout: 2_000, tries: 2 });
    this.#clock = options.clock ?? MONOTONIC_CLOCK;
    this.#hostsPath = options.hostsPath ?? '/etc/hosts';
    this.#resolvConfPath = options.resolvConfPath ?? '/etc/resolv.conf';
  }

  /** Does not reject. */
  resolve(host: string, family: DnsFamily): Promise<DnsAnswer> {
    const name = host.toLowerCase();
    const key = `${family} ${name}`;
    let answer = this.#asking.get(key);
    if (answer === undefined) {
      answer = this.#resolve(name, family).catch(
        (error: Error): DnsAnswer => ({ addresses: [], problem: error.message }),
      );
      this.#asking.set(key, answer);
      answer.finally(() => this.#asking.delete(key));
    }
    return answer;
  }

  async #resolve(name: string, family: DnsFamily): Promise<DnsAnswer> {
    if (isIP(name) !== 0) return found([name]);
    await this.#readFiles();
    const listed = ofFamily(this.#hosts.get(name) ?? [], family);
    if (listed.length > 0) return found(listed);
    if (name === 'localhost' || name.endsWith('.localhost')) {
      return found(ofFamily(['127.0.0.1', '::1'], family).slice(0, 1));
    }
    let problem = '';
    for (const candidate of candidates(name, this.#search)) {
      const answer = await this.#ask(candidate, family);
      if (answer.addresses.length > 0) return answer;
      problem = answer.problem;
    }
    return { addresses: [], problem };
  }

  /** AUTO: IPv6 addresses only where there is no IPv4 one, so that a half-broken v6 network is no trap (D30). */
  async #ask(name: string, family: DnsFamily): Promise<DnsAnswer> {
    let problem = '';
    for (const version of family === 'V4_ONLY' ? [4] : family === 'V6_ONLY' ? [6] : [4, 6]) {
      try {
        const addresses =
          version === 4 ? await this.#queries.resolve4(name) : await this.#queries.resolve6(name);
        const good = addresses.filter((address) => isIP(address) === version);
        if (good.length > 0) return found(good);
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
        problem ||= `${name}: ${code}`;
      }
    }
    return { addresses: [], problem: problem === '' ? `${name}: ENODATA` : problem };
  }

  /** At most every 5 s; a file that cannot be read counts as empty. */
  async #readFiles(): Promise<void> {
    if (this.#clock.nowMs() - this.#filesReadAtMs < FILES_KEPT_MS) return;
    this.#reading ??= (async () => {
      const [hosts, resolvConf] = await Promise.all([
        readBounded(this.#hostsPath),
        readBounded(this.#resolvConfPath),
      ]);
      this.#hosts = parseHostsFile(hosts);
      this.#search = parseResolvConf(resolvConf);
      this.#filesReadAtMs = this.#clock.nowMs();
      this.#reading = null;
    })();
    await this.#reading;
  }
}

const FILES_KEPT_MS = 5_000;

/** The names to ask for, in the resolver library's order. */
function candidates(name: string, { search, ndots }: ResolvConf): readonly string[] {
  if (name.endsWith('.')) return [name];
  const suffixed = search.map((suffix) => `${name}.${suffix}`);
  return name.split('.').length - 1 >= ndots ? [name, ...suffixed] : [...suffixed, name];
}

function ofFamily(addresses: readonly string[], family: DnsFamily): readonly string[] {
  const v4 = addresses.filter((address) => isIP(address) === 4);
  const v6 = addresses.filter((address) => isIP(address) === 6);
  if (family === 'V4_ONLY') return v4;
  if (family === 'V6_ONLY') return v6;
  return v4.length > 0 ? v4 : v6;
}

function found(addresses: readonly string[]): DnsAnswer {
  return { addresses: [...addresses].sort().slice(0, DNS_ANSWERS_MAX), problem: '' };
}

async function readBounded(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).slice(0, HOSTS_FILE_BYTES_MAX);
  } catch {
    return '';
  }
}
