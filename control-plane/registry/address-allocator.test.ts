import { expect, test } from 'vitest';
import { keyOf, type Resource } from '../kinds/resource.ts';
import { policies } from '../mesh/mesh.testing.ts';
import { PolicyWatch } from '../mesh/policy-watch.ts';
import type { ConfigStore } from '../store/config-store.ts';
import { createMemoryStore } from '../store/memory-store.ts';
import { AddressAllocator } from './address-allocator.ts';
import type { DeclaredService, RegistryContents } from './registry.ts';

const A = 'a.example.com';

function entryOf(name: string, host = `${name}.example.com`): Resource {
  const [entry] = policies(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ${name}}
spec: {hosts: [${host}], resolution: DNS, ports: [{number: 5432, name: tcp, protocol: TCP}]}
`).serviceEntries;
  return entry!;
}

const NOBODY: RegistryContents = { services: [], workloads: [] };

function declared(...hosts: string[]): RegistryContents {
  const services = hosts.map((host): DeclaredService => {
    const creationTimestamp = '2026-01-01T00:00:00Z';
    return { host, namespace: 'default', ports: [], serviceAccounts: [], creationTimestamp };
  });
  return { services, workloads: [] };
}

/** An allocator on a store, as the control plane wires it. */
async function started(store: ConfigStore = createMemoryStore('id')) {
  const state = { mayWrite: true, registered: NOBODY, slotChanges: 0 };
  const problems: string[] = [];
  const timers: (() => void)[] = [];
  const policyWatch = new PolicyWatch({
    store,
    onChange: () => allocator.changed(),
    onProblem: (_fields, message) => void problems.push(message),
    schedule: () => () => {},
  });
  const allocator: AddressAllocator = new AddressAllocator({
    store,
    serviceEntries: () => policyWatch.read().serviceEntries,
    registered: () => state.registered,
    mayWrite: () => state.mayWrite,
    onSlots: () => {
      state.slotChanges++;
    },
    onProblem: (_fields, message) => void problems.push(message),
    schedule: (_delayMs, callback) => {
      timers.push(callback);
      return () => {};
    },
  });
  await policyWatch.start();
  const settled = async (): Promise<void> => {
    for (let turn = 0; turn < 5; turn++) {
      await new Promise((done) => setImmediate(done));
      await allocator.settled();
    }
  };
  return { store, allocator, state, problems, timers, settled };
}

const addressesIn = (resource: Resource | undefined) =>
  (resource?.status as { addresses?: { value: string; host: string }[] } | undefined)?.addresses;

test('[DS-06] an entry gets its addresses by its status; its generation stays', async () => {
  const { store, settled } = await started();
  await store.create(entryOf('a'));
  await settled();
  const stored = await store.get(keyOf(entryOf('a')));
  expect(addressesIn(stored)).toEqual([
    { value: expect.stringMatching(/^240\.240\./), host: A },
    { value: expect.stringMatching(/^2001:2::/), host: A },
  ]);
  expect(stored?.metadata.generation).toBe(1);
  expect(stored?.spec).toEqual(entryOf('a').spec);
  // Its own write wakes it, and it has nothing to add.
  expect(await store.revision()).toBe(2);
});

test('[DS-06] what else stands in a status stays there', async () => {
  const { store, settled } = await started();
  const conditions = [{ type: 'Reconciled', status: 'True' }];
  await store.create({ ...entryOf('a'), status: { conditions, observedGeneration: 1 } });
  await settled();
  const stored = await store.get(keyOf(entryOf('a')));
  expect(stored?.status).toMatchObject({ conditions, observedGeneration: 1 });
  expect(addressesIn(stored)).toHaveLength(2);
});

test('[DS-06] who writes another part of the status meanwhile does not keep the address away', async () => {
  const store = createMemoryStore('id');
  const replace = store.replace.bind(store);
  let others = 0;
  // Before each of our writes somebody else writes a condition.
  store.replace = async (resource, version) => {
    if (others < 3) {
      others++;
      const current = (await store.get(keyOf(resource)))!;
      await replace({ ...current, status: { conditions: [others] } }, undefined);
    }
    return replace(resource, version);
  };
  const { settled } = await started(store);
  await store.create(entryOf('a'));
  await settled();
  const stored = await store.get(keyOf(entryOf('a')));
  expect(addressesIn(stored)).toHaveLength(2);
  expect(stored?.status).toMatchObject({ conditions: [3] });
});

test('[DS-06] a replica that may not write does not, and begins when it may', async () => {
  const { store, allocator, state, settled } = await started();
  state.mayWrite = false;
  await store.create(entryOf('a'));
  await settled();
  expect(await store.revision()).toBe(1);
  state.mayWrite = true;
  allocator.changed();
  await settled();
  expect(addressesIn(await store.get(keyOf(entryOf('a'))))).toHaveLength(2);
});

test('[DS-06] two replicas at once leave every entry with one address, and none with another’s', async () => {
  const store = createMemoryStore('id');
  const [one, two] = [await started(store), await started(store)];
  const names = Array.from({ length: 20 }, (_, n) => `e${n}`);
  await Promise.all(names.map((name) => store.create(entryOf(name))));
  await one.settled();
  await two.settled();
  const values = await Promise.all(
    names.map(async (name) => addressesIn(await store.get(keyOf(entryOf(name))))!),
  );
  for (const addresses of values) expect(addresses).toHaveLength(2);
  expect(new Set(values.flat().map(({ value }) => value)).size).toBe(40);
});

test('[DS-06] an address is free again when its object has gone', async () => {
  const { store, allocator, settled } = await started();
  await store.create(entryOf('a'));
  await settled();
  const before = addressesIn(await store.get(keyOf(entryOf('a'))));
  await store.delete(keyOf(entryOf('a')), undefined);
  await store.create(entryOf('b', A));
  await settled();
  expect(addressesIn(await store.get(keyOf(entryOf('b'))))).toEqual(before);
  allocator.close();
});

test('[DS-06] a store that takes no writes is asked again, and the problem told', async () => {
  const memory = createMemoryStore('id');
  let isFull = true;
  const store: ConfigStore = Object.assign(Object.create(memory) as ConfigStore, {
    replace: async (...args: Parameters<ConfigStore['replace']>) =>
      isFull
        ? { kind: 'unavailable', reason: 'full', message: 'disk full' }
        : memory.replace(...args),
    get: (...args: Parameters<ConfigStore['get']>) => memory.get(...args),
    list: (...args: Parameters<ConfigStore['list']>) => memory.list(...args),
    watch: (...args: Parameters<ConfigStore['watch']>) => memory.watch(...args),
  });
  const { problems, timers, settled } = await started(store);
  await memory.create(entryOf('a'));
  await settled();
  expect(problems).toEqual([expect.stringMatching(/could not be stored; trying again/)]);
  isFull = false;
  for (const timer of timers.splice(0)) timer();
  await settled();
  expect(addressesIn(await memory.get(keyOf(entryOf('a'))))).toHaveLength(2);
});

test('[DS-06] registered services have theirs from memory, the same after a restart', async () => {
  const { allocator, state } = await started();
  state.registered = declared('reviews.default.svc.cluster.local');
  const [service] = allocator.registered().services;
  expect(service?.addresses).toEqual([
    expect.stringMatching(/^240\.240\./),
    expect.stringMatching(/^2001:2::/),
  ]);
  expect(state.slotChanges).toBe(1);
  expect(allocator.registered()).toBe(allocator.registered());
  const again = await started();
  again.allocator.restore(new Map([['default/reviews.default.svc.cluster.local', 321]]));
  again.state.registered = state.registered;
  expect(again.allocator.registered().services[0]?.addresses).toEqual([
    '240.240.1.65',
    '2001:2::141',
  ]);
  again.state.registered = NOBODY;
  again.allocator.registered();
  expect(again.allocator.slots.size).toBe(0);
});
