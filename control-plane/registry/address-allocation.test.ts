import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Resource } from '../kinds/resource.ts';
import type { ServiceEntrySpec } from '../kinds/service-entry.ts';
import { policies } from '../mesh/mesh.testing.ts';
import { addressesInForce, planAddresses, type StatusAddress } from './address-allocation.ts';
import {
  canonicalAddress,
  isPoolAddress,
  POOL_SLOTS,
  slotAddresses,
  slotOf,
  slotsFor,
} from './address-pool.ts';

type Entry = Resource<ServiceEntrySpec>;

const runs = { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 200) };
const PORTS = 'ports: [{number: 5432, name: tcp, protocol: TCP}]';

/** Oldest first. */
function entries(
  ...specs: (string | { spec: string; labels?: Record<string, string> })[]
): Entry[] {
  return specs.map((each, index) => {
    const { spec, labels = {} } = typeof each === 'string' ? { spec: each } : each;
    const yaml = `apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e${index}}\nspec: ${spec}`;
    const [entry] = policies(yaml).serviceEntries;
    const creationTimestamp = new Date(Date.UTC(2026, 0, 1) + index * 1000).toISOString();
    return { ...entry!, metadata: { ...entry!.metadata, labels, creationTimestamp } };
  });
}

function plan(
  serviceEntries: readonly Entry[],
  declared: string[] = [],
  remembered: [string, number][] = [],
) {
  return planAddresses({
    serviceEntries,
    declared: declared.map((host) => ({ host, namespace: 'default' })),
    remembered: new Map(remembered),
  });
}

/** As if all that is to be written had been written. */
function written(
  serviceEntries: readonly Entry[],
  ...args: [string[]?, [string, number][]?]
): Entry[] {
  const { writes } = plan(serviceEntries, ...args);
  const byEntry = new Map(writes.map(({ entry, addresses }) => [entry, addresses]));
  return serviceEntries.map((entry) => {
    const addresses = byEntry.get(entry);
    return addresses === undefined ? entry : withStatus(entry, addresses);
  });
}

function withStatus(entry: Entry, addresses: readonly StatusAddress[]): Entry {
  return { ...entry, status: { addresses } };
}

function inForce(serviceEntries: readonly Entry[]): Record<string, readonly string[]> {
  const all: Record<string, readonly string[]> = {};
  for (const hosts of addressesInForce(serviceEntries).values()) {
    for (const [host, addresses] of hosts) all[host] = addresses;
  }
  return all;
}

test('[DS-06] a slot is one address of each family, there and back', () => {
  expect(slotAddresses(1)).toEqual(['240.240.0.1', '2001:2::1']);
  expect(slotAddresses(POOL_SLOTS)).toEqual(['240.240.255.254', '2001:2::fffe']);
  for (let slot = 1; slot <= POOL_SLOTS; slot += 97) {
    for (const address of slotAddresses(slot)) {
      expect(slotOf(address)).toBe(slot);
      expect(isPoolAddress(address)).toBe(true);
      expect(canonicalAddress(address)).toBe(address);
    }
  }
});

test.each([
  '240.240.0.0',
  '240.240.255.255',
  '240.241.0.1',
  '2001:2::',
  '2001:2:1::5',
  '10.0.0.1',
  'nonsense',
  '',
])('[DS-06] %s is no slot', (address) => expect(slotOf(address)).toBe(0));

test('[DS-06] an IPv6 address counts however it is written', () => {
  expect(slotOf('2001:0002:0:0::F')).toBe(15);
  expect(isPoolAddress('2001:0002:0:0:1::F')).toBe(true);
  expect(isPoolAddress('2001:2:1::f')).toBe(false);
});

test('[DS-06] slotsFor goes through all slots once, from the one that the name hashes to', () => {
  const all = [...slotsFor('default/a')];
  expect(new Set(all).size).toBe(POOL_SLOTS);
  expect(Math.min(...all)).toBe(1);
  expect(all[0]).toBe(slotsFor('default/a').next().value);
});

test('[DS-06] each host of an entry gets an IPv4 and an IPv6 address of its own', () => {
  const { writes } = plan(
    entries(`{hosts: [a.example.com, b.example.com], resolution: DNS, ${PORTS}}`),
  );
  const [{ addresses } = { addresses: [] }] = writes;
  expect(addresses.map(({ host }) => host)).toEqual([
    'a.example.com',
    'a.example.com',
    'b.example.com',
    'b.example.com',
  ]);
  expect(new Set(addresses.map(({ value }) => slotOf(value))).size).toBe(2);
});

test.each<[string, string | { spec: string; labels: Record<string, string> }]>([
  ['resolution NONE', `{hosts: [a.com], resolution: NONE, ${PORTS}}`],
  [
    'a wildcard host',
    `{hosts: ["*.a.com"], resolution: STATIC, endpoints: [{address: 10.0.0.1}], ${PORTS}}`,
  ],
  ['addresses of the author', `{hosts: [a.com], addresses: [10.9.9.9], resolution: DNS, ${PORTS}}`],
  [
    'the label that says no',
    {
      spec: `{hosts: [a.com], resolution: DNS, ${PORTS}}`,
      labels: { 'networking.istio.io/enable-autoallocate-ip': 'False' },
    },
  ],
  [
    'our label that says no, over one that says yes',
    {
      spec: `{hosts: [a.com], resolution: DNS, ${PORTS}}`,
      labels: {
        'networking.istio.io/enable-autoallocate-ip': 'true',
        'networking.weft.dev/enable-autoallocate-ip': 'false',
      },
    },
  ],
])('[DS-06] %s gets none, and gives back what it had', (_, spec) => {
  const [entry] = entries(spec);
  expect(plan([entry!]).writes).toEqual([]);
  const had = withStatus(entry!, [{ value: '240.240.0.9', host: 'a.com' }]);
  expect(inForce([had])).toEqual({});
  expect(plan([had]).writes).toEqual([{ entry: had, addresses: [] }]);
});

test('[DS-06] what an entry has stays, whatever else comes', () => {
  const [a, b] = entries(
    `{hosts: [a.com], resolution: DNS, ${PORTS}}`,
    `{hosts: [b.com], resolution: DNS, ${PORTS}}`,
  );
  const first = written([b!]);
  const both = written([a!, ...first]);
  expect(inForce(both)['b.com']).toEqual(inForce(first)['b.com']);
  expect(plan(both).writes).toEqual([]);
});

test('[DS-06] of two that claim one address the older keeps it, the younger has none until it gets another', () => {
  const [a, b] = entries(
    `{hosts: [a.com], resolution: DNS, ${PORTS}}`,
    `{hosts: [b.com], resolution: DNS, ${PORTS}}`,
  );
  const claim = (host: string) => [
    { value: '240.240.0.9', host },
    { value: '2001:2::9', host },
  ];
  const both = [withStatus(b!, claim('b.com')), withStatus(a!, claim('a.com'))];
  expect(inForce(both)).toEqual({ 'a.com': ['240.240.0.9', '2001:2::9'] });
  const after = inForce(written(both));
  expect(after['a.com']).toEqual(['240.240.0.9', '2001:2::9']);
  expect(slotOf(after['b.com']![0]!)).not.toBe(9);
});

test('[DS-06] an address that an author wrote is nobody else’s', () => {
  const [a, b] = entries(
    `{hosts: [a.com], resolution: DNS, ${PORTS}}`,
    `{hosts: [b.com], addresses: [240.240.0.9], resolution: DNS, ${PORTS}}`,
  );
  const both = [withStatus(a!, [{ value: '240.240.0.9', host: 'a.com' }]), b!];
  expect(inForce(both)).toEqual({});
  expect(slotOf(inForce(written(both))['a.com']![0]!)).not.toBe(9);
});

test('[DS-06] a status that somebody made up does no harm', () => {
  const [entry] = entries(`{hosts: [a.com], resolution: DNS, ${PORTS}}`);
  for (const status of [
    null,
    'x',
    { addresses: 'x' },
    {
      addresses: [
        null,
        7,
        { value: 7, host: 'a.com' },
        { value: 'no address', host: 'a.com' },
        { value: '10.0.0.1', host: 'other.com' },
      ],
    },
  ]) {
    const odd = { ...entry!, status };
    expect(inForce([odd])).toEqual({});
    expect(plan([odd]).writes).toHaveLength(1);
  }
});

test('[DS-06] a declared service keeps its slot, and hands it to an object that describes it', () => {
  const host = 'reviews.default.svc.cluster.local';
  const first = plan([], [host]).declared.get(`default/${host}`)!;
  expect(plan([], [host]).declared.get(`default/${host}`)).toBe(first);
  expect(plan([], [host], [[`default/${host}`, 77]]).declared.get(`default/${host}`)).toBe(77);
  const [entry] = entries(
    `{hosts: [${host}], resolution: STATIC, endpoints: [{address: 10.0.0.1}], ${PORTS}}`,
  );
  const described = written([entry!], [host], [[`default/${host}`, 77]]);
  expect(inForce(described)[host]).toEqual(slotAddresses(77));
  expect(plan(described, [host], [[`default/${host}`, 77]]).declared.get(`default/${host}`)).toBe(
    77,
  );
});

test('[DS-06] a declared service gives way to an object that has its address', () => {
  const [entry] = entries(`{hosts: [a.com], resolution: DNS, ${PORTS}}`);
  const had = withStatus(entry!, [{ value: '240.240.0.77', host: 'a.com' }]);
  const { declared, writes } = plan([had], ['b'], [['default/b', 77]]);
  expect(writes).toEqual([]);
  expect(declared.get('default/b')).not.toBe(77);
});

test('[DS-06] a full pool is a problem that names who got nothing', () => {
  const remembered = Array.from({ length: POOL_SLOTS }, (_, at): [string, number] => [
    `default/s${at}`,
    at + 1,
  ]);
  const declared = remembered.map(([key]) => key.slice('default/'.length));
  const [entry] = entries(`{hosts: [late.com], resolution: DNS, ${PORTS}}`);
  const result = plan([entry!], [...declared, 'one-more'], remembered);
  expect(result.writes).toEqual([]);
  expect(result.declared.size).toBe(POOL_SLOTS);
  expect(result.problems.map(({ message }) => message)).toEqual([
    expect.stringMatching(/65534 addresses .* late\.com got none/),
    expect.stringMatching(/one-more got none/),
  ]);
});

test('fuzz [DS-06] no two hosts ever share an address, and a second look changes nothing', () => {
  const host = fc.constantFrom('a.com', 'b.com', 'c.com', 'd.com', 'reviews');
  const status = fc.array(
    fc.record({ value: fc.integer({ min: 1, max: 6 }).map((n) => slotAddresses(n)[0]), host }),
    { maxLength: 4 },
  );
  const entry = fc.record({
    hosts: fc.uniqueArray(host, { minLength: 1, maxLength: 3 }),
    status,
    fixed: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 6 }), fc.uniqueArray(host), (drafts, declared) => {
      const before = entries(
        ...drafts.map(
          ({ hosts, fixed }, at) =>
            `{hosts: [${hosts}], resolution: DNS, ${fixed ? `addresses: [240.240.0.${at + 1}],` : ''} ${PORTS}}`,
        ),
      ).map((each, at) => withStatus(each, drafts[at]!.status));
      const { declared: slots } = plan(before, declared);
      const after = written(before, declared);
      const owners = new Map<string, string>();
      const own = (address: string, owner: string) => {
        expect(owners.get(address) ?? owner).toBe(owner);
        owners.set(address, owner);
      };
      for (const [each, hosts] of addressesInForce(after)) {
        for (const [name, addresses] of hosts)
          for (const address of addresses) own(address, `${each.metadata.name}/${name}`);
      }
      for (const { spec } of after) {
        for (const address of spec.addresses) expect(owners.has(address)).toBe(false);
        if (spec.addresses.length > 0) continue;
      }
      expect(plan(after, declared, [...slots]).writes).toEqual([]);
    }),
    runs,
  );
});
