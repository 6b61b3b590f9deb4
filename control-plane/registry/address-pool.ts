import { hash } from 'node:crypto';
import { isIPv4, isIPv6, SocketAddress } from 'node:net';

/**
 * The ranges of addresses that mean a service and no machine (DS-06), Istio's: 240.240.0.0/16, which nobody routes, and
 * 2001:2::/48, which is set aside for benchmarks (RFC 5180). Slot n stands for the nth address of both.
 */

/** Slots 1 to 65 534; the first and the last address of a /16 are none. */
export const POOL_SLOTS = 65_534;

/** IPv4, IPv6. */
export function slotAddresses(slot: number): readonly [string, string] {
  return [`240.240.${slot >> 8}.${slot & 255}`, `2001:2::${slot.toString(16)}`];
}

/** The slot that an address belongs to, 0 for an address outside of all of them. */
export function slotOf(address: string): number {
  const v4 = /^240\.240\.(\d{1,3})\.(\d{1,3})$/.exec(address);
  if (v4 !== null) return inPool(Number(v4[1]) * 256 + Number(v4[2]));
  const v6 = /^2001:2::([0-9a-f]{1,4})$/.exec(canonicalAddress(address));
  return v6 === null ? 0 : inPool(Number.parseInt(v6[1]!, 16));
}

/** Whether it can only have been allocated. */
export function isPoolAddress(address: string): boolean {
  if (isIPv4(address)) return address.startsWith('240.240.');
  return /^2001:2:(:|0:)/.test(canonicalAddress(address));
}

/** The one way to write an address; anything else as it is. */
export function canonicalAddress(address: string): string {
  if (OWN_SPELLING.test(address)) return address;
  return isIPv6(address) ? new SocketAddress({ address, family: 'ipv6' }).address : address;
}

/** IPv4, and what is allocated here: nearly all there is. */
const OWN_SPELLING = /^(?:[\d.]+|2001:2::[1-9a-f][\da-f]{0,3})$/;

/** Slots to try for `key`, its own first: every replica, and every run, begins at the same one. */
export function* slotsFor(key: string): Generator<number> {
  const home = Number.parseInt(hash('sha256', key, 'hex').slice(0, 8), 16) % POOL_SLOTS;
  for (let step = 0; step < POOL_SLOTS; step++) yield ((home + step) % POOL_SLOTS) + 1;
}

function inPool(slot: number): number {
  return slot >= 1 && slot <= POOL_SLOTS ? slot : 0;
}
