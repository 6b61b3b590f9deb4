import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { createServer, type Socket } from 'node:net';
import { endianness } from 'node:os';
import { canonicalIp, formatAddress, type HostPort } from '../tcp/socket-address.ts';

/** Where a redirected connection was going. */
export interface OriginalDestination extends HostPort {
  /** `ip:port`. */
  readonly text: string;
}

/** Asks the kernel; null: not redirected, or not known. */
export type OriginalDestinationLookup = (socket: Socket) => OriginalDestination | null;

export type LoadedLookup =
  | { readonly kind: 'lookup'; readonly lookup: OriginalDestinationLookup }
  /** Why this platform or runtime cannot, for people. */
  | { readonly kind: 'problem'; readonly detail: string };

/** `getsockopt(2)`: 0, or -1 with errno. */
export type Getsockopt = (
  fd: number,
  level: number,
  option: number,
  value: Buffer,
  length: Buffer,
) => number;

/** `<linux/netfilter_ipv4.h>`, `<linux/netfilter_ipv6/ip6_tables.h>`; level SOL_IP and SOL_IPV6. */
const SO_ORIGINAL_DST = 80;
const SOL_IP = 0;
const SOL_IPV6 = 41;
const SOCKADDR_IN_BYTES = 16;
const SOCKADDR_IN6_BYTES = 28;
/** `<asm-generic/socket.h>`: for the trial at the start. */
const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SOCK_STREAM = 1;

/**
 * `getsockopt(SO_ORIGINAL_DST)` through node:ffi, which is loaded here and nowhere else, so that a proxy without
 * redirection does not. It needs no capability. Tried once on a socket of our own: a runtime or a sandbox that does
 * not let us is told of at the start, and not by connections that lead nowhere.
 */
export function loadOriginalDestinationLookup(): LoadedLookup {
  if (process.platform !== 'linux') {
    return problem(`redirection exists on Linux only, and this is ${process.platform}`);
  }
  let getsockopt: Getsockopt;
  try {
    getsockopt = loadGetsockopt();
  } catch (error) {
    const detail = (error as Error).message;
    return problem(
      `node:ffi is not there (${detail}); Node 26 without --no-experimental-ffi has it`,
    );
  }
  const refused = trial(getsockopt);
  return refused === '' ? { kind: 'lookup', lookup: lookupBy(getsockopt) } : problem(refused);
}

function problem(detail: string): LoadedLookup {
  return {
    kind: 'problem',
    detail: `the original destination of redirected connections cannot be read: ${detail}`,
  };
}

function loadGetsockopt(): Getsockopt {
  const { emitWarning } = process;
  // That the module is experimental is known here, and a line of its own kind in the log helps nobody.
  process.emitWarning = () => {};
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
    return functions['getsockopt'] as Getsockopt;
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** Asks a socket of our own for its type; '' where the answer is right. */
function trial(getsockopt: Getsockopt): string {
  // An abstract name: nothing on disk and nothing on the network.
  const server = createServer().listen({ path: `\0weft-getsockopt-${randomUUID()}` });
  server.on('error', () => {});
  try {
    const value = Buffer.alloc(4);
    const length = lengthOf(4);
    const result = getsockopt(descriptorOf(server), SOL_SOCKET, SO_TYPE, value, length);
    const type = endianness() === 'LE' ? value.readInt32LE(0) : value.readInt32BE(0);
    if (result === 0 && type === SOCK_STREAM) return '';
    return `getsockopt answers ${result} and ${type} for a socket of our own`;
  } catch (error) {
    return `getsockopt cannot be called: ${(error as Error).message}`;
  } finally {
    server.close();
  }
}

/** Buffers are used again and again: the call is synchronous, and one is made for every connection. */
export function lookupBy(getsockopt: Getsockopt): OriginalDestinationLookup {
  const v4 = Buffer.alloc(SOCKADDR_IN_BYTES);
  const v6 = Buffer.alloc(SOCKADDR_IN6_BYTES);
  const v4Length = lengthOf(SOCKADDR_IN_BYTES);
  const v6Length = lengthOf(SOCKADDR_IN6_BYTES);
  return (socket) => {
    const fd = descriptorOf(socket);
    if (fd < 0) return null;
    const { localAddress } = socket;
    // An IPv4 peer of an IPv6 socket is asked for in IPv4's words.
    if (localAddress?.includes(':') === true && !localAddress.startsWith('::ffff:')) {
      if (getsockopt(fd, SOL_IPV6, SO_ORIGINAL_DST, v6, v6Length) !== 0) return null;
      return destination(ipv6Text(v6.subarray(8, 24)), v6.readUInt16BE(2));
    }
    if (getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, v4, v4Length) !== 0) return null;
    return destination(`${v4[4]}.${v4[5]}.${v4[6]}.${v4[7]}`, v4.readUInt16BE(2));
  };
}

function destination(host: string, port: number): OriginalDestination | null {
  return port === 0 ? null : { host, port, text: formatAddress(host, port) };
}

function descriptorOf(socket: object): number {
  return (socket as { _handle?: { fd?: number } })._handle?.fd ?? -1;
}

function lengthOf(bytes: number): Buffer {
  const length = Buffer.alloc(4);
  if (endianness() === 'LE') length.writeInt32LE(bytes);
  else length.writeInt32BE(bytes);
  return length;
}

function ipv6Text(bytes: Buffer): string {
  const groups: string[] = [];
  for (let at = 0; at < 16; at += 2) groups.push(bytes.readUInt16BE(at).toString(16));
  return canonicalIp(groups.join(':'));
}
