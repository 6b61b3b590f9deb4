import { isIP, isIPv4, isIPv6 } from 'node:net';
import { unmapped } from './socket-address.ts';

/** A CIDR range, compiled. */
export interface IpPrefix {
  readonly bytes: Uint8Array;
  readonly bits: number;
}

/** `10.0.0.0/8`, `fd00::/8`, or an address alone; null where it is none. */
export function parseIpPrefix(text: string): IpPrefix | null {
  const slash = text.indexOf('/');
  const address = slash < 0 ? text : text.slice(0, slash);
  const bytes = ipBytes(address);
  if (bytes === null) return null;
  const bitsMax = bytes.length * 8;
  if (slash < 0) return { bytes, bits: bitsMax };
  const digits = text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(digits) || Number(digits) > bitsMax) return null;
  return { bytes, bits: Number(digits) };
}

/** Whether the address lies in the range; families never match each other. */
export function inPrefix(address: Uint8Array, prefix: IpPrefix): boolean {
  if (address.length !== prefix.bytes.length) return false;
  const whole = prefix.bits >> 3;
  for (let at = 0; at < whole; at++) if (address[at] !== prefix.bytes[at]) return false;
  const rest = prefix.bits & 7;
  if (rest === 0) return true;
  const mask = (0xff << (8 - rest)) & 0xff;
  return (address[whole]! & mask) === (prefix.bytes[whole]! & mask);
}

/** Network order: 4 bytes, or 16. An IPv4-mapped address counts as IPv4. Null where it is no address. */
export function ipBytes(text: string): Uint8Array | null {
  if (isIP(text) === 0) return null;
  const address = unmapped(text);
  if (isIPv4(address)) return Uint8Array.from(address.split('.'), Number);
  const zone = address.indexOf('%');
  const plain = zone < 0 ? address : address.slice(0, zone);
  if (!isIPv6(plain)) return null;
  const [head = '', tail] = plain.split('::');
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const bytes = new Uint8Array(16);
  bytes.set(left, 0);
  bytes.set(right, 16 - right.length);
  return bytes;
}

function groups(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}
