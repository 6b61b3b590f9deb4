import { afterEach, expect, test, vi } from 'vitest';
import type { Resource } from '../kinds/resource.ts';
import type { ConfigStore, Selection } from '../store/config-store.ts';
import { createMemoryStore } from '../store/memory-store.ts';
import { policies } from './mesh.testing.ts';
import { PolicyWatch } from './policy-watch.ts';

function rule(host = 'reviews'): Resource {
  const [resource] = policies(`
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec: {host: ${host}}
`).destinationRules;
  return { ...resource!, spec: { host } };
}

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

async function started(store: ConfigStore) {
  const problems: object[] = [];
  const scheduled: (() => void)[] = [];
  let announce = () => {};
  const policyWatch = new PolicyWatch({
    store,
    onChange: () => announce(),
    onProblem: (fields) => problems.push(fields),
    schedule: (_delayMs, callback) => {
      scheduled.push(callback);
      return () => {};
    },
  });
  open.push(() => policyWatch.close());
  await policyWatch.start();
  const changed = () =>
    new Promise<void>((resolve) => {
      announce = resolve;
    });
  return {
    rules: () => policyWatch.read().destinationRules,
    refusals: () => policyWatch.refusals(),
    problems,
    scheduled,
    changed,
  };
}

test('policies that were there, that come and that go, with defaults', async () => {
  const store = createMemoryStore('one');
  open.push(() => store.close());
  await store.create(rule());
  const { rules, changed } = await started(store);
  expect(rules()).toMatchObject([{ spec: { host: 'reviews', subsets: [], exportTo: ['*'] } }]);
  expect(rules()).toBe(rules());
  const replaced = changed();
  await store.replace(rule('ratings'), undefined);
  await replaced;
  expect(rules()[0]?.spec.host).toBe('ratings');
  const gone = changed();
  const key = { group: 'networking.istio.io', kind: 'DestinationRule' };
  await store.delete({ ...key, namespace: 'default', name: 'reviews' }, undefined);
  await gone;
  expect(rules()).toEqual([]);
});

test('[F13][A6.9] an object that is not valid is reported and left out', async () => {
  const store = createMemoryStore('one');
  open.push(() => store.close());
  await store.create({ ...rule(), spec: { host: 7 } });
  const { rules, problems } = await started(store);
  expect(rules()).toEqual([]);
  expect(problems).toMatchObject([{ kind: 'DestinationRule', name: 'reviews' }]);
});

test('[F6] a watch that ends is taken up again with all that happened meanwhile, as often as it takes', async () => {
  const store = createMemoryStore('one');
  open.push(() => store.close());
  let end = () => {};
  let failures = 0;
  const breaking: ConfigStore = Object.create(store, {
    list: {
      value: async (selection: Selection) => {
        if (failures-- > 0) throw new Error('away');
        return store.list(selection);
      },
    },
    watch: {
      value: (...[selection, revision, sink]: Parameters<ConfigStore['watch']>) => {
        end = () => sink.onEnd({ kind: 'gone', oldestRevision: 9 });
        return store.watch(selection, revision, { onEvent: () => {}, onEnd: () => {} });
      },
    },
  });
  const { rules, scheduled, changed } = await started(breaking);
  await store.create(rule());
  failures = 1;
  const listed = changed();
  end();
  await vi.waitFor(() => expect(scheduled).toHaveLength(1));
  expect(rules()).toEqual([]);
  scheduled[0]!();
  await listed;
  expect(rules()).toHaveLength(1);
});

test('[A6.9] a refused object is known with all that is wrong, until it is mended or gone', async () => {
  const store = createMemoryStore('one');
  open.push(() => store.close());
  await store.create({ ...rule(), spec: { host: 7, subset: [] } });
  const { refusals, rules, changed } = await started(store);
  expect(refusals()).toEqual([
    {
      key: {
        group: 'networking.istio.io',
        kind: 'DestinationRule',
        namespace: 'default',
        name: 'reviews',
      },
      problems: [expect.stringMatching(/^spec\./), expect.stringMatching(/^spec\./)],
    },
  ]);
  const mended = changed();
  await store.replace(rule(), undefined);
  await mended;
  expect(refusals()).toEqual([]);
  expect(rules()).toHaveLength(1);
});

test('[PL-06] a status that somebody writes is no news: the same policies, nobody is woken', async () => {
  const store = createMemoryStore('one');
  open.push(() => store.close());
  await store.create(rule());
  const { rules, changed } = await started(store);
  const before = rules();
  let news = 0;
  void changed().then(() => news++);
  await store.replace({ ...rule(), status: { conditions: [] } }, undefined);
  const labelled = { ...rule(), metadata: { ...rule().metadata, name: 'other' } };
  await store.create(labelled);
  await vi.waitFor(() => expect(news).toBe(1));
  expect(rules()).toHaveLength(2);
  expect(rules().find(({ metadata }) => metadata.name === 'reviews')).toBe(before[0]);
});

test('[DS-06] addresses in a status are news: the mesh reads them', async () => {
  const store = createMemoryStore('one');
  open.push(() => store.close());
  await store.create(rule());
  const { rules, changed } = await started(store);
  const before = rules();
  const news = changed();
  const addresses = [{ value: '240.240.0.1', host: 'reviews' }];
  await store.replace({ ...rule(), status: { addresses } }, undefined);
  await news;
  expect(rules()[0]).not.toBe(before[0]);
});
