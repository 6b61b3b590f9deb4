import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import { endianness } from 'node:os';
import { formatAddress, type HostPort } from '../tcp/socket-address.ts';

/** Where a redirected connection was going. */
export interface OriginalDestination extends HostPort {
  /** `ip:port`. */
  readonly text: string;
}

/** Asks the kernel; null: not redirected, or not known. */
export type OriginalDestinationLookup = (socket: Socket) => OriginalDestination | null;

/** `<linux/netfilter_ipv4.h>`, `<linux/netfilter_ipv6/ip6_tables.h>`; level SOL_IP and SOL_IPV6. */
const SO_ORIGINAL_DST = 80;
const SOL_IP = 0;
const SOL_IPV6 = 41;
const SOCKADDR_IN_BYTES = 16;
const SOCKADDR_IN6_BYTES = 28;

type Getsockopt = (
  fd: number,
  level: number,
  option: number,
  value: Buffer,
  length: Buffer,
) => number;

/**
 * `getsockopt(SO_ORIGINAL_DST)` through node:ffi, which is loaded here and nowhere else, so that a
 * proxy without redirection does not. Null where this platform or runtime cannot: the caller says so.
 */
export function loadOriginalDestinationLookup(): OriginalDestinationLookup | null {
  if (process.platform !== 'linux') return null;
  let getsockopt: Getsockopt;
  try {
    const ffi = createRequire(import.meta.url)('node:ffi') as {
      dlopen(
        path: string | null,
        definitions: Record<string, { arguments: readonly string[]; return: string }>,
      ): { functions: Record<string, unknown> };
    };
    const { functions } = ffi.dlopen(null, {
      getsockopt: {
        arguments: ['int32', 'int32', 'int32', 'buffer', 'buffer'],
        return: 'int32',
      },
    });
    const found = functions['getsockopt'];
    if (typeof found !== 'function') return null;
    getsockopt = found as Getsockopt;
  } catch {
    return null;
  }
  return (socket) => {
    const fd = (socket as unknown as { _handle?: { fd?: number } })._handle?.fd ?? -1;
    if (fd < 0) return null;
    const v6 =
      socket.remoteFamily === 'IPv6' && socket.localAddress?.startsWith('::ffff:') !== true;
    return readOriginalDestination(getsockopt, fd, v6);
  };
}

function readOriginalDestination(
  getsockopt: Getsockopt,
  fd: number,
  v6: boolean,
): OriginalDestination | null {
  const size = v6 ? SOCKADDR_IN6_BYTES : SOCKADDR_IN_BYTES;
  const address = Buffer.alloc(size);
  const length = Buffer.alloc(4);
  if (endianness() === 'LE') length.writeInt32LE(size);
  else length.writeInt32BE(size);
  if (getsockopt(fd, v6 ? SOL_IPV6 : SOL_IP, SO_ORIGINAL_DST, address, length) !== 0) return null;
  const port = address.readUInt16BE(2);
  if (port === 0) return null;
  let host: string;
  if (v6) {
    const groups: string[] = [];
    for (let at = 8; at < 24; at += 2) groups.push(address.readUInt16BE(at).toString(16));
    host = compressIpv6(groups.join(':'));
  } else {
    host = address.subarray(4, 8).join('.');
  }
  return { host, port, text: formatAddress(host, port) };
}

/** As the runtime spells addresses, so that texts compare equal. */
function compressIpv6(full: string): string {
  return new URL(`http://[${full}]/`).hostname.slice(1, -1);
}
