import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import type { HostPort } from '../tcp/socket-address.ts';
import { parseResolvConf, type ResolvConf } from '../upstream/resolv-conf.ts';

export interface NameServersOptions {
  /** Asked in this order, in place of those of the file. Empty = those of the file. */
  readonly configured: readonly HostPort[];
  /** `/etc/resolv.conf` */
  readonly path: string;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

const DNS_PORT = 53;
/** Milliseconds between looks at the file: a host may change its network. */
const KEPT_MS = 5_000;
/** A resolver falls back to this host without a file (`resolv.conf(5)`). */
const FALLBACK: readonly string[] = ['127.0.0.1'];

/** Who is asked for names that are none of the mesh, and which search domain comes first. */
export class NameServers {
  readonly #options: NameServersOptions;
  #file: ResolvConf = parseResolvConf('');
  #readAtMs: number;
  #isReading = false;
  /** Where we listen ourselves: asking there would go round for ever. */
  #own: readonly HostPort[] = [];

  /** Reads the file. */
  constructor(options: NameServersOptions) {
    this.#options = options;
    this.#readAtMs = options.nowMs();
    try {
      this.#file = parseResolvConf(readFileSync(options.path, 'utf8'));
    } catch {
      // Without a file, or with one that cannot be read: as an empty one.
    }
  }

  setOwn(addresses: readonly HostPort[]): void {
    this.#own = addresses;
  }

  list(): readonly HostPort[] {
    this.#refresh();
    const { configured } = this.#options;
    const { nameservers } = this.#file;
    const servers =
      configured.length > 0
        ? configured
        : (nameservers.length > 0 ? nameservers : FALLBACK).map((host) => ({
            host,
            port: DNS_PORT,
          }));
    return servers.filter((server) => !this.#own.some((own) => isSame(server, own)));
  }

  /** Lower case, without a dot at the end; '' = none. */
  searchDomain(): string {
    this.#refresh();
    return (this.#file.search[0] ?? '').toLowerCase().replace(/\.$/, '');
  }

  /** Behind the back of the question that noticed. A file that cannot be read now changes nothing. */
  #refresh(): void {
    const { nowMs, path } = this.#options;
    if (this.#isReading || nowMs() - this.#readAtMs < KEPT_MS) return;
    this.#isReading = true;
    readFile(path, 'utf8')
      .then(
        (text) => {
          // Empty: somebody is about to write it.
          if (text.trim() !== '') this.#file = parseResolvConf(text);
        },
        () => {},
      )
      .finally(() => {
        this.#isReading = false;
        this.#readAtMs = nowMs();
      });
  }
}

function isSame(server: HostPort, own: HostPort): boolean {
  if (server.port !== own.port) return false;
  const host = isUnspecified(server.host) ? loopbackOf(server.host) : server.host;
  return isUnspecified(own.host) ? isOfThisHost(host) : host === own.host;
}

function isUnspecified(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

function loopbackOf(host: string): string {
  return host.includes(':') ? '::1' : '127.0.0.1';
}

function isOfThisHost(host: string): boolean {
  if (host === '::1' || host.startsWith('127.')) return true;
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ address }) => address === host),
  );
}
