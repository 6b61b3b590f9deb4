import { isIPv4, isIPv6 } from 'node:net';

/** A CIDR block, host bits cleared, in the spelling that `iptables-save` prints. */
export interface IpRange {
  readonly family: 'v4' | 'v6';
  /** `10.0.0.0/8`, `2001:db8::/32`. */
  readonly text: string;
  /** The network address as a number of 32 or 128 bits. */
  readonly first: bigint;
  readonly prefixBits: number;
}

/** `null` where the text is neither `address/bits` nor an address alone, which stands for itself (/32, /128). */
export function parseIpRange(text: string): IpRange | null {
  const slash = text.indexOf('/');
  const address = slash < 0 ? text : text.slice(0, slash);
  const family = isIPv4(address) ? 'v4' : isIPv6(address) && !address.includes('%') ? 'v6' : null;
  if (family === null) return null;
  const widthBits = addressBits(family);
  const bits = slash < 0 ? String(widthBits) : text.slice(slash + 1);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(bits) || Number(bits) > widthBits) return null;
  const prefixBits = Number(bits);
  const hostBits = BigInt(widthBits - prefixBits);
  const first = (addressNumber(address) >> hostBits) << hostBits;
  return { family, text: `${addressText(family, first)}/${prefixBits}`, first, prefixBits };
}

export function addressBits(family: 'v4' | 'v6'): 32 | 128 {
  return family === 'v4' ? 32 : 128;
}

export function rangeHas(range: IpRange, address: bigint): boolean {
  const hostBits = BigInt(addressBits(range.family) - range.prefixBits);
  return address >> hostBits === range.first >> hostBits;
}

/** Of a valid address; a zone (`%eth0`) is left out. */
export function addressNumber(address: string): bigint {
  if (isIPv4(address)) {
    return address.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  }
  let text = address.split('%')[0]!;
  const dotted = text.slice(text.lastIndexOf(':') + 1);
  if (dotted.includes('.')) {
    const number = addressNumber(dotted);
    text = `${text.slice(0, -dotted.length)}${(number >> 16n).toString(16)}:${(number & 0xffffn).toString(16)}`;
  }
  const [left = '', right] = text.split('::');
  const words = (half: string) => (half === '' ? [] : half.split(':'));
  const head = words(left);
  const tail = words(right ?? '');
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0');
  return [...head, ...zeros, ...tail].reduce(
    (sum, word) => sum * 0x10000n + BigInt(`0x${word}`),
    0n,
  );
}

/** IPv6 as RFC 5952 has it, which is what iptables prints. */
export function addressText(family: 'v4' | 'v6', number: bigint): string {
  if (family === 'v4') {
    return [24n, 16n, 8n, 0n].map((shift) => String((number >> shift) & 255n)).join('.');
  }
  const words = Array.from({ length: 8 }, (_, at) =>
    Number((number >> BigInt(16 * (7 - at))) & 0xffffn),
  );
  // URL has the platform's RFC 5952 printer.
  const host = new URL(`http://[${words.map((word) => word.toString(16)).join(':')}]`).hostname;
  return host.slice(1, -1);
}
