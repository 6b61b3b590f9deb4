import type { DnsProxy } from '../dns/dns-proxy.ts';
import type { Loggers } from '../observe/logger.ts';
import type { StatsRegistry } from '../observe/stats.ts';
import { formatAddress } from '../tcp/socket-address.ts';
import type { WeftSettings } from '../xds/bootstrap/settings.ts';
import { StartError } from './start-error.ts';
import { after } from './timer.ts';

/**
 * Answers from the beginning, if only by SERVFAIL: an app whose question nobody takes waits for seconds. Null where the
 * settings want no names answered; rejects with `StartError` where it cannot listen.
 */
export async function openDnsPort(
  { dns, dnsUpstreams, namespace }: WeftSettings,
  stats: StatsRegistry,
  loggers: Loggers,
  random: () => number,
): Promise<DnsProxy | null> {
  if (dns === null) return null;
  const { DnsProxy } = await import('../dns/dns-proxy.ts');
  const proxy = new DnsProxy({
    listen: dns,
    upstreams: dnsUpstreams,
    resolvConfPath: '/etc/resolv.conf',
    namespace,
    stats,
    log: loggers.get('dns'),
    nowMs: () => performance.now(),
    random,
    after,
  });
  try {
    const addresses = (await proxy.listen()).map(({ host, port }) => formatAddress(host, port));
    loggers.get('dns').info({ addresses }, 'answering names');
    return proxy;
  } catch (error) {
    await proxy.close();
    const { code, message } = error as NodeJS.ErrnoException;
    throw new StartError([
      `cannot answer names at ${formatAddress(dns.host, dns.port)}: ${code ?? message}; choose another address with WEFT_DNS, or none`,
    ]);
  }
}
