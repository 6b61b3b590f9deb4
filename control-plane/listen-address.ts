import { isIP } from 'node:net';

/** Where a server listens. Port 0: any that is free. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** `127.0.0.1:15012`, `[::]:15012`, `localhost:0`; null for anything else. */
export function parseListenAddress(text: string): ListenAddress | null {
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/[\]]+)):(\d{1,5})$/.exec(text);
  if (parts === null) return null;
  const port = Number(parts[3]);
  const host = parts[1] ?? parts[2]!;
  if (port > 65_535 || (parts[1] !== undefined && isIP(host) !== 6)) return null;
  return { host, port };
}

export function formatListenAddress({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** Every address of the host. */
export function isUnspecified({ host }: ListenAddress): boolean {
  return host === '0.0.0.0' || host === '::';
}
