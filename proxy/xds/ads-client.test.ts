import { expect, test } from 'vitest';
import { Node } from '../../proto/gen/envoy/config/core/v3/base.ts';
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  type Resource,
} from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import {
  TYPE_CLUSTER,
  TYPE_ENDPOINT,
  TYPE_HEALTH,
  TYPE_LISTENER,
  TYPE_NAME_TABLE,
  TYPE_ROUTE,
} from '../../proto/type-urls.ts';
import { AdsClient, type ResourceHandler } from './ads-client.ts';
import type { AdsStreamEvents } from './ads-transport.ts';
import { ManualTimers } from './manual-timers.testing.ts';

/** A client whose server is the test: `requests` of the latest stream, `respond` on it. */
class Wire {
  readonly timers = new ManualTimers();
  readonly applied: { typeUrl: string; names: string[]; removed: readonly string[] }[] = [];
  readonly missing: string[] = [];
  readonly connected: boolean[] = [];
  /** Resource name → problem. */
  readonly bad = new Map<string, string>();
  streams: { requests: DeltaDiscoveryRequest[]; events: AdsStreamEvents; closed: boolean }[] = [];
  refuseToOpen = '';
  readonly client: AdsClient;

  constructor(names = false) {
    const handler: ResourceHandler = {
      apply: async (typeUrl, resources, removed) => {
        const names = resources.map(({ name }) => name);
        if (names.includes('bug')) throw new Error('bug');
        this.applied.push({ typeUrl, names, removed });
        return new Map([...this.bad].filter(([name]) => names.includes(name)));
      },
      missing: (_typeUrl, names) => void this.missing.push(...names),
    };
    this.client = new AdsClient({
      transport: {
        open: (events) => {
          if (this.refuseToOpen !== '') throw new Error(this.refuseToOpen);
          const stream = { requests: [] as DeltaDiscoveryRequest[], events, closed: false };
          this.streams.push(stream);
          return {
            send: (request) => void stream.requests.push(request),
            close: () => {
              stream.closed = true;
            },
          };
        },
      },
      node: Node.create({ id: 'me' }),
      handler,
      timers: this.timers,
      random: () => 0,
      log: { info: () => {}, warn: () => {} },
      clusters: true,
      listeners: true,
      names,
      onConnected: (connected) => void this.connected.push(connected),
    });
  }

  get stream() {
    return this.streams.at(-1)!;
  }

  /** Requests since the last call. */
  taken(): DeltaDiscoveryRequest[] {
    return this.stream.requests.splice(0);
  }

  async respond(typeUrl: string, names: readonly string[], removed: string[] = [], nonce = 'n') {
    await this.stream.events.onResponse(
      DeltaDiscoveryResponse.create({
        typeUrl,
        nonce,
        removedResources: removed,
        resources: names.map(
          (name): Partial<Resource> => ({
            name,
            version: `v-${name}`,
            resource: { typeUrl, value: new Uint8Array() },
          }),
        ),
      }),
    );
  }
}

test('rule 15: the node goes in the first request only, and clusters come before listeners (rule 13)', () => {
  const wire = new Wire();
  wire.client.start();
  const requests = wire.taken();
  expect(requests.map(({ typeUrl }) => typeUrl)).toEqual([TYPE_CLUSTER, TYPE_LISTENER]);
  expect(requests.map(({ node }) => node?.id)).toEqual(['me', undefined]);
});

test('[DS-05] names are asked for last, all of them, where this proxy answers names; the table has no name', async () => {
  const wire = new Wire(true);
  wire.client.start();
  const requests = wire.taken();
  expect(requests.map(({ typeUrl }) => typeUrl)).toEqual([
    TYPE_CLUSTER,
    TYPE_LISTENER,
    TYPE_NAME_TABLE,
  ]);
  expect(requests[2]).toMatchObject({ resourceNamesSubscribe: [] });
  await wire.respond(TYPE_NAME_TABLE, [''], [], 'names-1');
  expect(wire.taken()).toMatchObject([{ responseNonce: 'names-1', errorDetail: undefined }]);
  expect(wire.applied.at(-1)).toEqual({ typeUrl: TYPE_NAME_TABLE, names: [''], removed: [] });
  wire.stream.events.onEnd('gone');
  wire.timers.advance(30_000);
  expect([...wire.taken()[2]!.initialResourceVersions]).toEqual([['', 'v-']]);
});

test('a good response is acknowledged with its nonce', async () => {
  const wire = new Wire();
  wire.client.start();
  wire.taken();
  await wire.respond(TYPE_CLUSTER, ['a'], [], 'nonce-1');
  expect(wire.taken()).toMatchObject([
    { typeUrl: TYPE_CLUSTER, responseNonce: 'nonce-1', errorDetail: undefined, node: undefined },
  ]);
  expect(wire.connected).toEqual([true]);
});

test('[OP-06] one bad resource is told in the NACK; the good ones are held, the bad one is not', async () => {
  const wire = new Wire();
  wire.bad.set('b', 'lb_policy: 5 is not supported');
  wire.client.start();
  wire.taken();
  await wire.respond(TYPE_CLUSTER, ['a', 'b', 'c']);
  const [nack] = wire.taken();
  expect(nack!.errorDetail).toMatchObject({ message: 'b: lb_policy: 5 is not supported' });
  wire.stream.events.onEnd('gone');
  wire.timers.advance(30_000);
  expect([...wire.taken()[0]!.initialResourceVersions]).toEqual([
    ['a', 'v-a'],
    ['c', 'v-c'],
  ]);
});

test('rule 6: a response with a resource twice is refused whole', async () => {
  const wire = new Wire();
  wire.client.start();
  wire.taken();
  await wire.respond(TYPE_CLUSTER, ['a', 'a']);
  expect(wire.applied).toEqual([]);
  expect(wire.taken()[0]!.errorDetail!.message).toContain('"a" stands in one response twice');
});

test('an exception in our own code is a NACK, not the end of the stream', async () => {
  const wire = new Wire();
  wire.client.start();
  wire.taken();
  await wire.respond(TYPE_CLUSTER, ['bug']);
  expect(wire.taken()[0]!.errorDetail!.message).toBe('internal error: Error: bug');
  expect(wire.stream.closed).toBe(false);
});

test('rule 2: after a reconnect nothing of the old stream is said, but what is held', async () => {
  const wire = new Wire();
  wire.client.start();
  wire.client.setNames(TYPE_ENDPOINT, new Set(['e']));
  await wire.respond(TYPE_ENDPOINT, ['e'], [], 'old');
  wire.stream.events.onEnd('gone');
  wire.timers.advance(30_000);
  const requests = wire.taken();
  expect(requests.every(({ responseNonce }) => responseNonce === '')).toBe(true);
  expect(requests[0]!.node?.id).toBe('me');
  expect(requests.find(({ typeUrl }) => typeUrl === TYPE_ENDPOINT)).toMatchObject({
    resourceNamesSubscribe: ['e'],
    initialResourceVersions: new Map([['e', 'v-e']]),
  });
});

test('waits between attempts double up to 30 s, and an answer starts them anew', async () => {
  const wire = new Wire();
  wire.client.start();
  const waits: number[] = [];
  for (let attempt = 0; attempt < 8; attempt++) {
    wire.stream.events.onEnd('gone');
    waits.push(wire.timers.pending[0]!);
    wire.timers.advance(30_000);
  }
  expect(waits).toEqual([250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]); // random 0 = half
  await wire.respond(TYPE_CLUSTER, []);
  wire.stream.events.onEnd('gone');
  expect(wire.timers.pending[0]).toBe(250);
});

test('a channel that cannot be made, e.g. for want of a root, is tried again', () => {
  const wire = new Wire();
  wire.refuseToOpen = 'ENOENT';
  wire.client.start();
  expect(wire.connected).toEqual([false]);
  wire.refuseToOpen = '';
  wire.timers.advance(1000);
  expect(wire.streams).toHaveLength(1);
});

test('rule 8: a name that is not answered within 15 s counts as missing, one that came does not', async () => {
  const wire = new Wire();
  wire.client.start();
  wire.client.setNames(TYPE_ROUTE, new Set(['here', 'absent']));
  await wire.respond(TYPE_ROUTE, ['here']);
  wire.timers.advance(14_999);
  expect(wire.missing).toEqual([]);
  wire.timers.advance(1);
  expect(wire.missing).toEqual(['absent']);
});

test('rule 8: removed_resources says at once that a name does not exist', async () => {
  const wire = new Wire();
  wire.client.start();
  wire.client.setNames(TYPE_ROUTE, new Set(['absent']));
  await wire.respond(TYPE_ROUTE, [], ['absent']);
  expect(wire.missing).toEqual(['absent']);
  wire.timers.advance(20_000);
  expect(wire.missing).toEqual(['absent']);
});

test('rule 20: a resource without a body is a heartbeat and is not applied', async () => {
  const wire = new Wire();
  wire.client.start();
  await wire.stream.events.onResponse(
    DeltaDiscoveryResponse.create({
      typeUrl: TYPE_CLUSTER,
      resources: [{ name: 'a', version: '1' }],
    }),
  );
  expect(wire.applied[0]!.names).toEqual([]);
});

test('resources that were not asked for by name are left out', async () => {
  const wire = new Wire();
  wire.client.start();
  wire.client.setNames(TYPE_ENDPOINT, new Set(['mine']));
  await wire.respond(TYPE_ENDPOINT, ['mine', 'other']);
  expect(wire.applied[0]!.names).toEqual(['mine']);
});

test('a response of an unknown type is neither applied nor answered', async () => {
  const wire = new Wire();
  wire.client.start();
  wire.taken();
  await wire.respond('type.googleapis.com/some.Thing', ['a']);
  expect(wire.applied).toEqual([]);
  expect(wire.taken()).toEqual([]);
});

test('[DS-04] health goes on the stream, and again on the next one', () => {
  const wire = new Wire();
  wire.client.setHealth({ healthy: false, message: 'ECONNREFUSED' });
  wire.client.start();
  const [, , health] = wire.taken();
  expect(health).toMatchObject({ typeUrl: TYPE_HEALTH, errorDetail: { message: 'ECONNREFUSED' } });
  wire.client.setHealth({ healthy: true, message: '' });
  expect(wire.taken()).toMatchObject([{ typeUrl: TYPE_HEALTH, errorDetail: undefined }]);
  wire.stream.events.onEnd('gone');
  wire.timers.advance(1000);
  expect(wire.taken().at(-1)).toMatchObject({ typeUrl: TYPE_HEALTH, errorDetail: undefined });
});

test('what was taken from the disk is held', () => {
  const wire = new Wire();
  wire.client.hold(TYPE_CLUSTER, 'a', '3');
  wire.client.start();
  expect([...wire.taken()[0]!.initialResourceVersions]).toEqual([['a', '3']]);
});

test('events of a stream that is gone change nothing', async () => {
  const wire = new Wire();
  wire.client.start();
  const old = wire.stream;
  old.events.onEnd('gone');
  wire.timers.advance(1000);
  old.events.onEnd('again');
  await old.events.onResponse(DeltaDiscoveryResponse.create({ typeUrl: TYPE_CLUSTER }));
  expect(wire.applied).toEqual([]);
  expect(wire.streams).toHaveLength(2);
});

test('close ends the stream and no attempt follows', () => {
  const wire = new Wire();
  wire.client.start();
  wire.client.close();
  expect(wire.stream.closed).toBe(true);
  wire.stream.events.onEnd('cancelled');
  wire.timers.advance(60_000);
  expect(wire.streams).toHaveLength(1);
});
