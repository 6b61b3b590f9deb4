import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { KubernetesApi, type KubernetesApiOptions } from '../../test/harness/kubernetes-api.ts';
import { clientOf } from '../../test/harness/kubernetes-client.ts';
import { until } from '../../test/harness/until.ts';
import { realClock } from '../clock.testing.ts';
import { INFORMER_TIMING, Informer, type InformerTiming } from './informer.ts';
import type { KubernetesObject } from './kubernetes-object.ts';
import { PODS } from './resource-type.ts';

/** Faults of an API server (F7, E1–E8): after each recovery the informer holds what a fresh list holds. */

const FAST: InformerTiming = {
  ...INFORMER_TIMING,
  backOffBaseMs: 5,
  backOffMaxMs: 40,
  pageLimit: 7,
};

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function cluster(options: KubernetesApiOptions = {}): Promise<KubernetesApi> {
  const api = await KubernetesApi.start(options);
  closers.push(() => api.close());
  return api;
}

type Seen = { readonly version: string; readonly phase: unknown };

function informerOf(
  api: KubernetesApi,
  timing: Partial<InformerTiming> = {},
  namespace = '',
  log: string[] = [],
): Informer<Seen> {
  const client = clientOf(api);
  closers.push(() => client.close());
  const informer = new Informer<Seen>({
    client,
    type: PODS,
    namespace,
    project: ({ metadata, status }) => {
      if (metadata.labels?.['poison'] === 'yes') throw new Error('poison');
      const { phase } = (status ?? {}) as { phase?: unknown };
      return { version: metadata.resourceVersion!, phase };
    },
    clock: realClock,
    random: Math.random,
    log: {
      info: () => undefined,
      warn: (_fields, message) => void log.push(message),
    },
    timing: { ...FAST, ...timing },
  });
  closers.push(() => informer.close());
  informer.start();
  return informer;
}

function pod(name: string, phase = 'Running', namespace = 'default'): KubernetesObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels: { app: name } },
    spec: { containers: [{ name: 'app', image: 'app' }] },
    status: { phase },
  };
}

/** What a client that lists now gets. */
function fresh(api: KubernetesApi, namespace = ''): Record<string, Seen> {
  const pods = api.list('pods', namespace).map(({ metadata, status }) => {
    const { phase } = status as { phase: unknown };
    const seen = { version: metadata.resourceVersion!, phase };
    return [`${metadata.namespace}/${metadata.name}`, seen] as const;
  });
  return Object.fromEntries(pods);
}

function held(informer: Informer<Seen>): Record<string, Seen> {
  return Object.fromEntries([...informer.read()].sort(([a], [b]) => (a < b ? -1 : 1)));
}

async function untilEqual(
  informer: Informer<Seen>,
  api: KubernetesApi,
  namespace = '',
): Promise<void> {
  const isEqual = () => JSON.stringify(held(informer)) === JSON.stringify(fresh(api, namespace));
  await until('the informer to equal a fresh list', isEqual, 10_000).catch(() => undefined);
  expect(held(informer)).toEqual(fresh(api, namespace));
}

/** Synced and watching. */
async function following(api: KubernetesApi, informer: Informer<Seen>): Promise<void> {
  await informer.whenSynced();
  await until('a watch', () => api.watchCount('pods') > 0);
}

test('[F7] what there is comes in pages, and changes follow in batches', async () => {
  const api = await cluster();
  for (let n = 0; n < 20; n++) api.put(pod(`p${n}`));
  const informer = informerOf(api);
  const changes: string[] = [];
  informer.onChange((batch) => {
    for (const { key, before, after } of batch) {
      changes.push(`${key} ${before?.phase ?? '-'}→${after?.phase ?? '-'}`);
    }
  });
  await following(api, informer);
  expect(api.requests.get('list pods')).toBe(3);
  expect(changes).toHaveLength(20);
  changes.length = 0;
  api.put(pod('p3', 'Failed'));
  api.put(pod('new'));
  api.remove('pods', 'default', 'p4');
  await untilEqual(informer, api);
  expect(changes).toEqual([
    'default/p3 Running→Failed',
    'default/new -→Running',
    'default/p4 Running→-',
  ]);
  expect(informer.stats).toMatchObject({ objects: 20, lists: 1, problem: '' });
});

test('[E1] a connection that is cut in the middle of an event loses nothing', async () => {
  const api = await cluster();
  const informer = informerOf(api);
  await following(api, informer);
  api.put(pod('a'));
  api.cutWatches({ isMidEvent: true });
  api.put(pod('b'));
  await untilEqual(informer, api);
  expect(informer.stats.lists).toBe(1);
});

test('[E2] 410 on resume is answered by a new list', async () => {
  const api = await cluster();
  api.put(pod('a'));
  const informer = informerOf(api);
  await following(api, informer);
  await api.goAway();
  api.put(pod('b'));
  api.remove('pods', 'default', 'a');
  api.store.compact();
  api.put(pod('c'));
  await api.comeBack();
  await untilEqual(informer, api);
  expect(informer.stats.lists).toBe(2);
});

test('[E2] 410 as an HTTP status is answered by a new list', async () => {
  const api = await cluster();
  const informer = informerOf(api);
  await following(api, informer);
  api.faults.status = 410;
  api.faults.statusFor = (verb) => verb === 'watch';
  api.cutWatches();
  await until('another list', () => informer.stats.lists >= 2);
  api.put(pod('a'));
  api.faults.status = 0;
  await untilEqual(informer, api);
});

test('[E3] a list that is shorter than before removes what is gone', async () => {
  const api = await cluster();
  for (let n = 0; n < 10; n++) api.put(pod(`p${n}`));
  const informer = informerOf(api);
  await following(api, informer);
  api.faults.lose = ({ type }) => type === 'DELETED';
  for (let n = 0; n < 9; n++) api.remove('pods', 'default', `p${n}`);
  api.put(pod('p9', 'Failed'));
  await until('p9 to fail', () => informer.get('default', 'p9')?.phase === 'Failed');
  expect(informer.read().size).toBe(10);
  const gone: string[] = [];
  informer.onChange((batch) => {
    for (const { key, after } of batch) if (after === undefined) gone.push(key);
  });
  api.store.compact();
  api.store.advance(1);
  api.cutWatches();
  api.sendLine('{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}');
  await until('the next watch', () => api.watchCount('pods') > 0);
  api.sendLine('{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}');
  await untilEqual(informer, api);
  expect(gone).toHaveLength(9);
});

test('[E3] a lost DELETE is found by the list that comes in any case', async () => {
  const api = await cluster();
  api.put(pod('a'));
  const informer = informerOf(api, { relistMs: 30, watchSeconds: 0.4 });
  await following(api, informer);
  api.faults.lose = () => true;
  api.remove('pods', 'default', 'a');
  await untilEqual(informer, api);
});

test('[E4] the same event twice is one change', async () => {
  const api = await cluster();
  api.faults.duplicate = true;
  const informer = informerOf(api);
  await following(api, informer);
  let changes = 0;
  informer.onChange((batch) => {
    changes += batch.length;
  });
  api.put(pod('a'));
  api.put(pod('a', 'Failed'));
  api.remove('pods', 'default', 'a');
  api.put(pod('b'));
  await untilEqual(informer, api);
  expect(changes).toBe(4);
  expect(informer.stats.lists).toBe(1);
});

test('[E5] an event for an object of another namespace changes nothing', async () => {
  const api = await cluster();
  api.put(pod('a'));
  const informer = informerOf(api, {}, 'default');
  await following(api, informer);
  const stranger = { ...pod('x', 'Running', 'kube-system') };
  const metadata = { ...stranger.metadata, uid: 'u', resourceVersion: String(api.store.revision) };
  api.sendLine(JSON.stringify({ type: 'ADDED', object: { ...stranger, metadata } }), 'pods');
  api.put(pod('b'));
  await untilEqual(informer, api, 'default');
  expect(informer.stats).toMatchObject({ errors: 1, lists: 1 });
});

test.each([
  ['no JSON', '{"type":"ADDED","object":{'],
  ['no object', '{"type":"ADDED"}'],
  ['an object without a name', '{"type":"ADDED","object":{"metadata":{"resourceVersion":"1"}}}'],
  [
    'a type that is none',
    '{"type":"MOVED","object":{"metadata":{"name":"a","resourceVersion":"1"}}}',
  ],
  ['a bookmark without a version', '{"type":"BOOKMARK","object":{"metadata":{}}}'],
  ['a line longer than an event may be', `{"type":"ADDED","object":"${'x'.repeat(9_000_000)}"}`],
])('[E6] a malformed event (%s) is answered by a new list', async (_name, line) => {
  const api = await cluster();
  api.put(pod('a'));
  const informer = informerOf(api);
  await following(api, informer);
  api.faults.lose = () => true;
  api.remove('pods', 'default', 'a');
  api.put(pod('b'));
  api.sendLine(line, 'pods');
  await untilEqual(informer, api);
  expect(informer.stats.lists).toBe(2);
});

test('[E7] a watch that is silent for too long is cut, and what it missed is caught up with', async () => {
  const api = await cluster();
  const informer = informerOf(api, { silenceMs: 150 });
  await following(api, informer);
  api.faults.silent = true;
  api.put(pod('a'));
  const log = informer.stats.errors;
  await until('the silence to be noticed', () => informer.stats.errors > log);
  api.faults.silent = false;
  await untilEqual(informer, api);
  expect(informer.stats.lists).toBe(1);
});

test('[E8] older data after a failover is not taken: the informer waits and then catches up', async () => {
  const api = await cluster();
  api.put(pod('a', 'Pending'));
  const old = api.store.revision;
  api.put(pod('a', 'Running'));
  api.put(pod('b'));
  const log: string[] = [];
  const informer = informerOf(api, {}, '', log);
  await following(api, informer);
  const phases: unknown[] = [];
  informer.onChange((batch) => {
    for (const { after } of batch) phases.push(after?.phase);
  });
  api.faults.staleRevision = old;
  api.sendLine('not an event');
  await until('a stale list', () => log.some((line) => line.includes('is older than')));
  expect(held(informer)).toEqual(fresh(api));
  api.put(pod('c'));
  api.faults.staleRevision = 0;
  await untilEqual(informer, api);
  expect(phases).toEqual(['Running']);
});

test('[A6.10] a cluster that was set back is followed again after a while', async () => {
  const api = await cluster();
  const old = api.store.revision;
  api.put(pod('a'));
  const log: string[] = [];
  const informer = informerOf(api, { staleMs: 50 }, '', log);
  await following(api, informer);
  let isGone = false;
  informer.onChange((batch) => {
    isGone ||= batch.some(({ after }) => after === undefined);
  });
  api.faults.staleRevision = old;
  api.sendLine('not an event');
  await until('a to be gone', () => isGone);
  expect(log.at(-1)).toContain('the cluster was set back');
});

test('[F7] an API server that is away at the start is tried until it is there', async () => {
  const api = await cluster();
  await api.goAway();
  const informer = informerOf(api);
  await until('a failure', () => informer.stats.errors > 1);
  expect(informer.synced).toBe(false);
  expect(informer.stats.problem).toContain('ECONNREFUSED');
  api.put(pod('a'));
  await api.comeBack();
  await informer.whenSynced();
  await untilEqual(informer, api);
});

test('[F7] 429 is obeyed, 500 is tried again', async () => {
  const api = await cluster();
  api.put(pod('a'));
  api.faults.status = 429;
  api.faults.retryAfterS = 1;
  const informer = informerOf(api);
  const startMs = performance.now();
  await until('a refusal', () => (api.requests.get('list pods') ?? 0) > 0);
  api.faults.status = 0;
  await informer.whenSynced();
  expect(performance.now() - startMs).toBeGreaterThan(900);
  expect(api.requests.get('list pods')).toBe(2);
  await following(api, informer);
  api.faults.status = 500;
  api.cutWatches();
  await until('failures', () => informer.stats.errors > 1);
  api.put(pod('b'));
  api.faults.status = 0;
  await untilEqual(informer, api);
});

test('[F7] a watch that is cut again and again still follows', async () => {
  const api = await cluster();
  const informer = informerOf(api);
  await following(api, informer);
  api.cutWatchesEvery(15);
  for (let n = 0; n < 40; n++) {
    api.put(pod(`p${n % 12}`, `Phase${n}`));
    await new Promise((done) => setTimeout(done, 5));
  }
  api.cutWatchesEvery(0);
  await untilEqual(informer, api);
});

test('[F7] bookmarks alone keep a quiet watch near the present: no list after the history is gone', async () => {
  const api = await cluster({ bookmarkIntervalMs: 20 });
  const informer = informerOf(api);
  await following(api, informer);
  api.store.advance(500);
  await until('a bookmark', () => informer.resourceVersion === String(api.store.revision));
  api.store.compact();
  api.cutWatches();
  api.put(pod('a'));
  await untilEqual(informer, api);
  expect(informer.stats.lists).toBe(1);
});

test('[F7] pages that are too slow for the history are asked for all at once', async () => {
  const api = await cluster();
  for (let n = 0; n < 30; n++) api.put(pod(`p${n}`));
  let pages = 0;
  const informer = informerOf(api, { pageLimit: 4 });
  const seen = setInterval(() => {
    if ((api.requests.get('list pods') ?? 0) > pages) {
      pages++;
      api.put(pod('p1', `Phase${pages}`));
      api.store.compact();
    }
  }, 0);
  await informer.whenSynced();
  clearInterval(seen);
  await untilEqual(informer, api);
});

test('[A6.9] an object that cannot be read is left out, the others are there', async () => {
  const api = await cluster();
  const poison = pod('bad');
  api.put({ ...poison, metadata: { ...poison.metadata, labels: { poison: 'yes' } } });
  api.put(pod('good'));
  const log: string[] = [];
  const informer = informerOf(api, {}, '', log);
  await following(api, informer);
  expect([...informer.read().keys()]).toEqual(['default/good']);
  expect(log).toEqual(['an object cannot be read and is left out']);
});

test('a deleted object that comes back under its name is another one', async () => {
  const api = await cluster();
  api.put(pod('a'));
  const informer = informerOf(api);
  await following(api, informer);
  await api.goAway();
  api.remove('pods', 'default', 'a');
  api.put(pod('a'));
  await api.comeBack();
  await untilEqual(informer, api);
});

test('[F7] fuzz: whatever happens and whatever fails, the informer equals a fresh list in the end', async () => {
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ op: fc.constant('put' as const), n: fc.nat(9), phase: fc.nat(3) }),
    },
    { weight: 3, arbitrary: fc.record({ op: fc.constant('remove' as const), n: fc.nat(9) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        op: fc.constantFrom(
          ...([
            'cut',
            'cutMid',
            'end',
            'compact',
            'malformed',
            'down',
            'bookmark',
            'pause',
          ] as const),
          ...(['duplicate', 'silent', 'stale', '429', '500', 'recover'] as const),
        ),
      }),
    },
  );
  const runs = Number(process.env['WEFT_FUZZ_RUNS'] ?? 0) > 0 ? 600 : 60;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const api = await KubernetesApi.start({ historyMax: 20 });
      closers.push(() => api.close());
      const informer = informerOf(api, { silenceMs: 40 });
      const told = new Map<string, unknown>();
      informer.onChange((batch) => {
        for (const { key, before, after } of batch) {
          expect(told.get(key)).toEqual(before);
          if (after === undefined) told.delete(key);
          else told.set(key, after);
        }
      });
      const pause = () => new Promise((done) => setTimeout(done, 3));
      const recover = async (): Promise<void> => {
        Object.assign(api.faults, { duplicate: false, silent: false, staleRevision: 0, status: 0 });
        await api.comeBack();
      };
      for (const each of steps) {
        if (each.op === 'put') api.put(pod(`p${each.n}`, `Phase${each.phase}`));
        else if (each.op === 'remove') api.remove('pods', 'default', `p${each.n}`);
        else if (each.op === 'cut') api.cutWatches();
        else if (each.op === 'cutMid') api.cutWatches({ isMidEvent: true });
        else if (each.op === 'end') api.endWatches();
        else if (each.op === 'compact') api.store.compact();
        else if (each.op === 'malformed') api.sendLine('{"type":');
        else if (each.op === 'down') await api.goAway();
        else if (each.op === 'bookmark') api.sendBookmarks();
        else if (each.op === 'duplicate') api.faults.duplicate = true;
        else if (each.op === 'silent') api.faults.silent = true;
        else if (each.op === 'stale') {
          api.faults.staleRevision = Math.max(api.store.compactedRevision, api.store.revision - 4);
        } else if (each.op === '429') api.faults.status = 429;
        else if (each.op === '500') api.faults.status = 500;
        else if (each.op === 'recover') await recover();
        else await pause();
      }
      await recover();
      await informer.whenSynced();
      await untilEqual(informer, api);
      expect(Object.fromEntries(told)).toEqual(held(informer));
      informer.close();
      await api.close();
    }),
    { numRuns: runs },
  );
}, 120_000);
