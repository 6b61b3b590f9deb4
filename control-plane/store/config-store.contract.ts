import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { keyOf, type Resource } from '../kinds/resource.ts';
import type { ConfigStore, Selection, WatchEnd, WatchEvent, WriteResult } from './config-store.ts';

/**
 * `revision`: an object's version is the revision of its write, and a new store is at 0. `opaque`: a version is whatever
 * the server behind the store makes of it (Kubernetes), and revisions begin anywhere.
 */
type StoreVersions = 'revision' | 'opaque';

/** What every ConfigStore keeps. `open` gives an empty one whose history holds `historyEventsMax` changes. */
export function configStoreContract(
  name: string,
  open: (historyEventsMax: number) => Promise<ConfigStore>,
  versions: StoreVersions = 'revision',
): void {
  describe(`${name} keeps the ConfigStore contract`, () => {
    let store: ConfigStore;
    /** The revision before the first write. */
    let start: number;
    beforeEach(async () => {
      store = await open(8);
      start = await store.revision();
    });
    afterEach(() => store.close());

    test('a new store is empty and has an identity', async () => {
      expect(await store.list({})).toEqual({ items: [], revision: start });
      if (versions === 'revision') expect(start).toBe(0);
      expect(store.identity).not.toBe('');
    });

    test('every write gives the object another version and counts as one revision', async () => {
      const first = stored(await store.create(policy('a')));
      const second = stored(await store.create(policy('b')));
      expect(second.metadata.resourceVersion).not.toBe(first.metadata.resourceVersion);
      if (versions === 'revision') expect(second.metadata.resourceVersion).toBe('2');
      expect(await store.get(keyOf(first))).toEqual(first);
      expect(await store.revision()).toBe(start + 2);
    });

    test('create of what exists changes nothing and shows what is there', async () => {
      const first = stored(await store.create(policy('a')));
      expect(await store.create(policy('a', { host: 'other' }))).toEqual({
        kind: 'alreadyExists',
        current: first,
      });
      expect(await store.revision()).toBe(start + 1);
    });

    test('replace with the version that is there succeeds, with an older one it is a conflict', async () => {
      const { resourceVersion } = stored(await store.create(policy('a'))).metadata;
      const second = stored(await store.replace(policy('a', { host: 'two' }), resourceVersion));
      expect(second.metadata.resourceVersion).not.toBe(resourceVersion);
      expect(await store.replace(policy('a', { host: 'three' }), resourceVersion)).toEqual({
        kind: 'conflict',
        current: second,
      });
      expect(await store.get(keyOf(second))).toEqual(second);
    });

    test('replace and delete without a version take whatever is there', async () => {
      await store.create(policy('a'));
      expect((await store.replace(policy('a', { host: 'x' }), undefined)).kind).toBe('ok');
      expect((await store.delete(keyOf(policy('a')), undefined)).kind).toBe('ok');
    });

    test('of two writers with the same version one wins', async () => {
      const { resourceVersion } = stored(await store.create(policy('a'))).metadata;
      const results = await Promise.all([
        store.replace(policy('a', { host: 'x' }), resourceVersion),
        store.replace(policy('a', { host: 'y' }), resourceVersion),
        store.delete(keyOf(policy('a')), resourceVersion),
      ]);
      expect(results.map(({ kind }) => kind)).toEqual(['ok', 'conflict', 'conflict']);
    });

    test('delete counts as a write and the object is gone', async () => {
      const first = stored(await store.create(policy('a')));
      const deleted = await store.delete(keyOf(first), first.metadata.resourceVersion);
      expect(deleted).toMatchObject({ kind: 'ok', revision: start + 2 });
      if (versions === 'revision') expect(stored(deleted).metadata.resourceVersion).toBe('2');
      expect(await store.get(keyOf(first))).toBeUndefined();
      expect(await store.delete(keyOf(first), undefined)).toEqual({ kind: 'notFound' });
      expect(await store.replace(policy('a'), undefined)).toEqual({ kind: 'notFound' });
      expect(await store.revision()).toBe(start + 2);
    });

    test('list selects by group, kind and namespace, in order of the key', async () => {
      for (const [kind, namespace, name] of [
        ['VirtualService', 'b', 'z'],
        ['VirtualService', 'a', 'y'],
        ['VirtualService', 'a', 'x'],
        ['DestinationRule', 'a', 'x'],
      ] as const) {
        await store.create(policy(name, {}, { kind, namespace }));
      }
      const names = async (selection: Selection) =>
        (await store.list(selection)).items.map(
          ({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name}`,
        );
      expect(await names({ kind: 'VirtualService' })).toEqual([
        'VirtualService a/x',
        'VirtualService a/y',
        'VirtualService b/z',
      ]);
      expect(await names({ namespace: 'a' })).toEqual([
        'DestinationRule a/x',
        'VirtualService a/x',
        'VirtualService a/y',
      ]);
      expect(await names({ group: 'security.istio.io' })).toEqual([]);
      expect((await store.list({})).revision).toBe(start + 4);
    });

    test('objects are frozen and maps have no prototype', async () => {
      const made = stored(await store.create(policy('a')));
      expect(Object.isFrozen(made.metadata)).toBe(true);
      expect(made.metadata.labels['constructor']).toBeUndefined();
    });

    test('the object given is copied: changing it later changes nothing', async () => {
      const spec = { host: 'one' };
      const made = stored(await store.create(policy('a', spec)));
      spec.host = 'two';
      expect((await store.get(keyOf(made)))?.spec).toEqual({ host: 'one' });
    });

    test('a watch replays history from a revision and goes on live, each change once', async () => {
      await store.create(policy('a'));
      await store.create(policy('b'));
      const watch = observe(store, {}, start + 1, start);
      await watch.until(1);
      await store.replace(policy('a', { host: 'x' }), undefined);
      await store.delete(keyOf(policy('b')), undefined);
      await watch.until(3);
      expect(watch.seen).toEqual(['2 ADDED b', '3 MODIFIED a', '4 DELETED b']);
    });

    test('a watch calls nobody before it has returned', async () => {
      await store.create(policy('a'));
      let returned = false;
      let early = false;
      const done = Promise.withResolvers<void>();
      store.watch({}, start, {
        onEvent: () => {
          early = !returned;
          done.resolve();
        },
        onEnd: () => undefined,
      });
      returned = true;
      await done.promise;
      expect(early).toBe(false);
    });

    test('a watch sees only what it selects', async () => {
      const watch = observe(store, { kind: 'VirtualService', namespace: 'b' }, start, start);
      await store.create(policy('a', {}, { namespace: 'a' }));
      await store.create(policy('b', {}, { namespace: 'b', kind: 'DestinationRule' }));
      await store.create(policy('c', {}, { namespace: 'b' }));
      await watch.until(1);
      expect(watch.seen).toEqual(['3 ADDED c']);
    });

    test('a closed watch sees nothing more', async () => {
      const watch = observe(store, {}, start);
      const other = observe(store, {}, start);
      watch.close();
      await store.create(policy('a'));
      await other.until(1);
      expect(watch.seen).toEqual([]);
      expect(watch.end).toBeUndefined();
    });

    test('a watch from before the history, or from the future, is told that it is gone', async () => {
      for (let index = 0; index < 10; index++) await store.create(policy(`p${index}`));
      const reaching = observe(store, {}, start + 2);
      await reaching.until(8);
      const tooOld = observe(store, {}, start + 1);
      expect(await tooOld.ended).toEqual({ kind: 'gone', oldestRevision: start + 2 });
      expect((await observe(store, {}, start + 11).ended).kind).toBe('gone');
    });

    test('closing the store ends its watches and refuses writes', async () => {
      const watch = observe(store, {}, start);
      await store.close();
      expect(await watch.ended).toEqual({ kind: 'closed' });
      expect(await store.create(policy('a'))).toMatchObject({ kind: 'unavailable' });
      store = await open(8);
    });
  });
}

/** An object as the API server hands it over. */
export function policy(
  name: string,
  spec: unknown = { host: 'reviews' },
  { kind = 'VirtualService', namespace = 'default' } = {},
): Resource {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind,
    metadata: {
      name,
      namespace,
      labels: { app: name },
      annotations: {},
      creationTimestamp: '2026-01-01T00:00:00Z',
      generation: 1,
      resourceVersion: '',
      uid: `uid-${name}`,
    },
    spec,
  };
}

export function stored(result: WriteResult): Resource {
  if (result.kind !== 'ok') throw new Error(`write ended in ${JSON.stringify(result)}`);
  return result.resource;
}

/** A watch that keeps what it sees, revisions counted from `start`. */
export function observe(store: ConfigStore, selection: Selection, fromRevision: number, start = 0) {
  const seen: string[] = [];
  const { promise: ended, resolve } = Promise.withResolvers<WatchEnd>();
  const waiting = new Set<{ count: number; done: () => void }>();
  const observed = {
    seen,
    ended,
    end: undefined as WatchEnd | undefined,
    until: (count: number) =>
      new Promise<void>((done) => {
        if (seen.length >= count) done();
        else waiting.add({ count, done });
      }),
    close: () => watch.close(),
  };
  const watch = store.watch(selection, fromRevision, {
    onEvent: ({ type, resource, revision }: WatchEvent) => {
      seen.push(`${revision - start} ${type} ${resource.metadata.name}`);
      for (const waiter of waiting) if (seen.length >= waiter.count) waiter.done();
    },
    onEnd: (end) => {
      observed.end = end;
      resolve(end);
    },
  });
  return observed;
}
