import { isIP } from 'node:net';
import type { Resource } from '../kinds/resource.ts';
import type { ServiceEntrySpec } from '../kinds/service-entry.ts';
import { canonicalAddress, POOL_SLOTS, slotAddresses, slotOf, slotsFor } from './address-pool.ts';
import { byAge, compare } from './age.ts';
import type { RegistryProblem } from './registry.ts';

type Entry = Resource<ServiceEntrySpec>;

/** One element of a ServiceEntry's `status.addresses`, as Istio's controller writes it. */
export interface StatusAddress {
  readonly value: string;
  readonly host: string;
}

export interface AllocationInputs {
  readonly serviceEntries: readonly Entry[];
  /** Services that no object describes, by host and namespace. */
  readonly declared: readonly { readonly host: string; readonly namespace: string }[];
  /** Slots of declared services so far, by `namespace/host`. */
  readonly remembered: ReadonlyMap<string, number>;
}

export interface AllocationPlan {
  /** ServiceEntries whose status has to be written, with the addresses that it shall have. */
  readonly writes: readonly {
    readonly entry: Entry;
    readonly addresses: readonly StatusAddress[];
  }[];
  /** Slots of the declared services, by `namespace/host`. */
  readonly declared: ReadonlyMap<string, number>;
  readonly problems: readonly RegistryProblem[];
}

/** `"false"`: no address is wanted. Ours wins where both are there. */
const OPT_OUT_LABELS = [
  'networking.weft.dev/enable-autoallocate-ip',
  'networking.istio.io/enable-autoallocate-ip',
] as const;

/**
 * The addresses in force, by entry and host: those of `status.addresses` of entries that may have some. Where two claim
 * one address, the one that an author wrote goes first, then the older object; the loser has none until it is given
 * another. A function of the objects alone, so that every replica and every proxy sees the same.
 */
export function addressesInForce(
  serviceEntries: readonly Entry[],
): ReadonlyMap<Entry, ReadonlyMap<string, readonly string[]>> {
  return claimsOf(serviceEntries).inForce;
}

/**
 * What has to change for each host to have an address of its own (DS-06). Pure. Whoever has one keeps it; who has none
 * begins at the slot that its name hashes to, so that replicas that act at the same time choose the same.
 */
export function planAddresses(inputs: AllocationInputs): AllocationPlan {
  const { serviceEntries, remembered } = inputs;
  const { inForce, taken: claimed } = claimsOf(serviceEntries);
  const taken = new Set(claimed);
  const declaredKeys = inputs.declared.map(declaredKey).sort(compare);
  const declared = new Map<string, number>();
  for (const key of declaredKeys) {
    const slot = remembered.get(key);
    if (slot === undefined || taken.has(slot)) continue;
    declared.set(key, slot);
    taken.add(slot);
  }
  const allocate = (key: string): number => {
    if (taken.size >= POOL_SLOTS) return 0;
    for (const slot of slotsFor(key)) {
      if (taken.has(slot)) continue;
      taken.add(slot);
      return slot;
    }
    return 0;
  };

  const problems: RegistryProblem[] = [];
  const writes: AllocationPlan['writes'][number][] = [];
  const slotsOfHosts = new Map<string, number>();
  for (const entry of [...serviceEntries].sort(byAge)) {
    const wanted: StatusAddress[] = [];
    const without: string[] = [];
    for (const host of hostsToAddress(entry)) {
      const key = declaredKey({ namespace: entry.metadata.namespace, host });
      let values = inForce.get(entry)?.get(host) ?? [];
      if (values.length === 0) {
        // A service that gets its object only now keeps its address, if no older object took it over.
        const shared = slotsOfHosts.has(key) ? undefined : declared.get(key);
        const slot = shared ?? allocate(key);
        if (slot === 0) without.push(host);
        else values = slotAddresses(slot);
      }
      if (values.length > 0 && !slotsOfHosts.has(key)) slotsOfHosts.set(key, slotOf(values[0]!));
      for (const value of values) wanted.push({ value, host });
    }
    if (without.length > 0) problems.push(exhausted(entryName(entry), without));
    if (!sameAddresses(statusAddresses(entry), wanted)) writes.push({ entry, addresses: wanted });
  }

  const without: string[] = [];
  for (const key of declaredKeys) {
    if (declared.has(key)) continue;
    const slot = slotsOfHosts.get(key) || allocate(key);
    if (slot === 0) without.push(key);
    else declared.set(key, slot);
  }
  if (without.length > 0) problems.push(exhausted('sidecars', without));
  return { writes, declared, problems };
}

/** `namespace/host`. */
export function declaredKey(service: {
  readonly namespace: string;
  readonly host: string;
}): string {
  return `${service.namespace}/${service.host}`;
}

/** Of an object as stored; elements that are not of the shape are skipped. Read once an object. */
export function statusAddresses(resource: Pick<Resource, 'status'>): readonly StatusAddress[] {
  let addresses = addressesRead.get(resource);
  if (addresses === undefined) {
    addresses = readStatusAddresses(resource);
    addressesRead.set(resource, addresses);
  }
  return addresses;
}

const addressesRead = new WeakMap<Pick<Resource, 'status'>, readonly StatusAddress[]>();

function readStatusAddresses({ status }: Pick<Resource, 'status'>): readonly StatusAddress[] {
  const { addresses } = (status ?? {}) as { readonly addresses?: unknown };
  if (!Array.isArray(addresses)) return [];
  return addresses.slice(0, STATUS_ADDRESSES_MAX).flatMap((item: unknown) => {
    const { value, host } = (item ?? {}) as { readonly value?: unknown; readonly host?: unknown };
    return typeof value === 'string' && typeof host === 'string' ? [{ value, host }] : [];
  });
}

/** 256 hosts with two addresses each. */
const STATUS_ADDRESSES_MAX = 512;

/**
 * Hosts that get an address (Istio's rules): not where the author wrote addresses, not with resolution NONE, which
 * goes to where the client dialled, not for a wildcard, which is no one service.
 */
function hostsToAddress({ metadata, spec }: Entry): readonly string[] {
  if (spec.addresses.length > 0 || spec.resolution === 'NONE') return [];
  const label = OPT_OUT_LABELS.map((name) => metadata.labels[name]).find((it) => it !== undefined);
  if (label?.toLowerCase() === 'false') return [];
  return spec.hosts.map((host) => host.toLowerCase()).filter((host) => !host.startsWith('*'));
}

interface Claims {
  readonly inForce: ReadonlyMap<Entry, ReadonlyMap<string, readonly string[]>>;
  /** Slots of all addresses that are claimed. */
  readonly taken: ReadonlySet<number>;
}

/** One list is asked for twice, for the directory and for the plan; then a newer one takes its place. */
let latest: { readonly serviceEntries: readonly Entry[]; readonly claims: Claims } | null = null;

function claimsOf(serviceEntries: readonly Entry[]): Claims {
  if (latest?.serviceEntries !== serviceEntries) {
    latest = { serviceEntries, claims: claims(serviceEntries) };
  }
  return latest.claims;
}

function claims(serviceEntries: readonly Entry[]): Claims {
  const addresses = new Set<string>();
  const taken = new Set<number>();
  const claim = (address: string): boolean => {
    const canonical = canonicalAddress(address);
    if (addresses.has(canonical)) return false;
    addresses.add(canonical);
    const slot = slotOf(canonical);
    if (slot !== 0) taken.add(slot);
    return true;
  };
  for (const { spec } of serviceEntries) for (const address of spec.addresses) claim(address);
  const inForce = new Map<Entry, Map<string, readonly string[]>>();
  for (const entry of [...serviceEntries].sort(byAge)) {
    const status = statusAddresses(entry);
    if (status.length === 0) continue;
    const byHost = new Map<string, readonly string[]>();
    for (const host of hostsToAddress(entry)) {
      const own = status.filter((each) => each.host === host && isIP(each.value) !== 0);
      const kept = own.map(({ value }) => value).filter(claim);
      if (kept.length > 0) byHost.set(host, kept);
    }
    inForce.set(entry, byHost);
  }
  return { inForce, taken };
}

function sameAddresses(a: readonly StatusAddress[], b: readonly StatusAddress[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ value, host }, at) => value === b[at]!.value && host === b[at]!.host)
  );
}

function exhausted(subject: string, hosts: readonly string[]): RegistryProblem {
  const named = hosts.slice(0, 3).join(', ');
  const more = hosts.length > 3 ? ` and ${hosts.length - 3} more` : '';
  return {
    subject,
    message: `all ${POOL_SLOTS} addresses of 240.240.0.0/16 are in use, so ${named}${more} got none; write spec.addresses, or delete what is not needed`,
  };
}

function entryName({ metadata }: Entry): string {
  return `ServiceEntry ${metadata.namespace}/${metadata.name}`;
}
