import { createServer } from 'node:net';
import { type ListenerConfig, listenerAddresses } from './listener-config.ts';
import type { ListenerManager } from './listener-manager.ts';

/**
 * Binds for a moment, so that an address in use is told in the NACK of a listener that must still wait. '' where all of
 * its addresses are free or our own.
 */
export async function probeBind(
  { listeners }: ListenerManager,
  probed: ListenerConfig,
): Promise<string> {
  if (!probed.bindToPort) return '';
  const own = new Set<number>();
  for (const { config } of listeners.values()) if (config.bindToPort) own.add(config.port);
  for (const { host, port } of listenerAddresses(probed)) {
    if (port === 0 || own.has(port)) continue;
    const problem = await probeAddress(host, port);
    if (problem !== '') return problem;
  }
  return '';
}

function probeAddress(address: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      resolve(`cannot listen on ${address}:${port}: ${error.code ?? error.message}`);
    });
    const ipv6Only = address.includes(':');
    server.listen({ host: address, port, exclusive: true, ipv6Only }, () =>
      server.close(() => resolve('')),
    );
  });
}
