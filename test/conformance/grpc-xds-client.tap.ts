import { type handleUnaryCall, Server, ServerCredentials, status } from '@grpc/grpc-js';
import t from 'tap';
import { freePorts } from '../../cli/run/free-port.ts';
import { applyPolicy, deletePolicy } from '../harness/apply-policy.ts';
import { ControlPlane } from '../harness/control-plane.ts';
import { NodeProcess, ROOT } from '../harness/node-process.ts';
import { proxyTypes } from '../harness/proxy-status.ts';
import { until } from '../harness/until.ts';
import type { CallResult } from './grpc-xds-caller.ts';

/**
 * An unmodified @grpc/grpc-js-xds client in a process of its own, driven by our control plane over the plaintext port:
 * it reads state-of-the-world ADS and does the routing itself (xds.md 5.3).
 */

t.setTimeout(200_000);

const HOST = 'orders.default.svc.cluster.local';
const NODE_ID = 'grpc-xds-caller';

const SERVICE = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: orders}
spec:
  hosts: [${HOST}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 8080, name: grpc, protocol: GRPC}]
  workloadSelector: {labels: {app: orders}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders}
spec:
  host: ${HOST}
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
`;

const instance = (version: string, port: number) => `
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: orders-${version}}
spec:
  address: 127.0.0.1
  ports: {grpc: ${port}}
  labels: {app: orders, version: ${version}}
`;

/** The whole VirtualService with these rules. */
const rules = (http: string) => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [${HOST}]
  http: ${http}
`;
const to = (subset: string, extra = '') => `{route: [${destination(subset)}]${extra}}`;
const destination = (subset: string, weight = 100) =>
  `{destination: {host: ${HOST}, subset: ${subset}}, weight: ${weight}}`;

/** Serves `/orders.Orders/*`: who it is, slowly, or only at the third attempt. */
class OrdersServer {
  readonly #server = new Server();
  port = 0;
  /** Calls that came in, by method. */
  readonly seen = new Map<string, number>();

  static async start(version: string, port = 0): Promise<OrdersServer> {
    const orders = new OrdersServer();
    const method = (name: string, handler: handleUnaryCall<Buffer, string>) => ({
      definition: {
        path: `/orders.Orders/${name}`,
        requestStream: false as const,
        responseStream: false as const,
        requestSerialize: (bytes: Buffer) => bytes,
        requestDeserialize: (bytes: Buffer) => bytes,
        responseSerialize: (text: string) => Buffer.from(text),
        responseDeserialize: (bytes: Buffer) => bytes.toString(),
      },
      handler: ((call, answer) => {
        orders.seen.set(name, (orders.seen.get(name) ?? 0) + 1);
        handler(call, answer);
      }) satisfies handleUnaryCall<Buffer, string>,
    });
    const methods = {
      who: method('Who', (_call, answer) => answer(null, version)),
      // Answers when the caller has given up.
      hang: method('Hang', (call) => {
        call.on('cancelled', () => {});
      }),
      flaky: method('Flaky', ({ metadata }, answer) => {
        const attempt = Number(metadata.get('grpc-previous-rpc-attempts')[0] ?? 0);
        if (attempt >= 2) answer(null, `attempt ${attempt}`);
        else answer({ code: status.UNAVAILABLE, details: `attempt ${attempt} fails` });
      }),
    };
    orders.#server.addService(
      Object.fromEntries(Object.entries(methods).map(([key, each]) => [key, each.definition])),
      Object.fromEntries(Object.entries(methods).map(([key, each]) => [key, each.handler])),
    );
    orders.port = await new Promise((resolve, reject) => {
      orders.#server.bindAsync(
        `127.0.0.1:${port}`,
        ServerCredentials.createInsecure(),
        (error, bound) => (error === null ? resolve(bound) : reject(error)),
      );
    });
    return orders;
  }

  stop(): void {
    this.#server.forceShutdown();
  }
}

t.test('a stock gRPC client in the mesh', async (t) => {
  const [xdsPort] = await freePorts(1);
  const controlPlane = await ControlPlane.start('--plaintext-xds', `127.0.0.1:${xdsPort}`);
  t.teardown(() => controlPlane.stop());
  const [v1, v2] = [await OrdersServer.start('v1'), await OrdersServer.start('v2')];
  t.teardown(() => {
    v1.stop();
    v2.stop();
  });
  await applyPolicy(controlPlane, SERVICE);
  await applyPolicy(controlPlane, instance('v1', v1.port));
  await applyPolicy(controlPlane, instance('v2', v2.port));
  const caller = new NodeProcess(
    [`${ROOT}/test/conformance/grpc-xds-caller.ts`, `xds:///${HOST}:8080`],
    {
      env: {
        GRPC_XDS_BOOTSTRAP_CONFIG: JSON.stringify({
          xds_servers: [
            { server_uri: `127.0.0.1:${xdsPort}`, channel_creds: [{ type: 'insecure' }] },
          ],
          // It wants a locality, be it empty.
          node: { id: NODE_ID, locality: {} },
        }),
      },
    },
  );
  t.teardown(() => caller.stop());
  const callerPort = (await caller.seen(/calls on (\d+)/))[1];
  const calls = async (
    count: number,
    method = 'Who',
    query: Readonly<Record<string, string>> = {},
  ): Promise<CallResult[]> => {
    const search = new URLSearchParams({
      path: `/orders.Orders/${method}`,
      count: String(count),
      ...query,
    });
    const response = await fetch(`http://127.0.0.1:${callerPort}/?${search}`);
    return (await response.json()) as CallResult[];
  };
  /** How many of `count` calls each version took; a failed one is counted under its error. */
  const spread = async (count: number, query: Readonly<Record<string, string>> = {}) => {
    const counts = new Map<string, number>();
    for (const { text } of await calls(count, 'Who', query)) {
      counts.set(text, (counts.get(text) ?? 0) + 1);
    }
    return Object.fromEntries(counts);
  };
  const apply = (http: string) => applyPolicy(controlPlane, rules(http));
  const refusals = async () => {
    const types = await proxyTypes(controlPlane, NODE_ID);
    return types.filter(({ error }) => error !== '');
  };

  t.test('[LB-02] it finds both instances under the service’s name, in turn', async (t) => {
    t.same(await until('both to be known', () => evenly(spread)), { v1: 20, v2: 20 });
    t.same(await refusals(), []);
  });

  t.test('[TM-08] it splits calls by weight', async (t) => {
    await apply(`[{route: [${destination('v1', 90)}, ${destination('v2', 10)}]}]`);
    await until('most calls to go to v1', async () => ((await spread(50))['v1'] ?? 0) > 35);
    const counts = await spread(400);
    t.equal((counts['v1'] ?? 0) + (counts['v2'] ?? 0), 400, 'no call failed');
    // Five standard deviations of a binomial distribution.
    t.ok(Math.abs((counts['v2'] ?? 0) - 40) < 30, `${counts['v2']} of 400 went to v2`);
  });

  t.test('[TM-03] [TM-04] it routes by method and by metadata', async (t) => {
    await apply(`[
      {match: [{headers: {user: {exact: jason}}}], route: [${destination('v2')}]},
      {match: [{uri: {exact: /orders.Orders/Hang}}], timeout: 0.3s, route: [${destination('v2')}]},
      ${to('v1')}]`);
    const jason = { 'md-user': 'jason' };
    await until('jason to get v2', async () => (await spread(20, jason))['v2'] === 20);
    t.same(await spread(20), { v1: 20 });
  });

  t.test('[TM-17] the rule’s timeout is the deadline of the call', async (t) => {
    const [result] = await calls(1, 'Hang');
    t.equal(result!.code, status.DEADLINE_EXCEEDED);
    t.ok(result!.tookMs >= 250 && result!.tookMs < 10_000, `after ${result!.tookMs} ms`);
    t.equal(v1.seen.get('Hang') ?? 0, 0, 'the route by method was taken');
  });

  t.test(
    '[RS-01] it tries again as often as the rule says, twice where it says nothing',
    async (t) => {
      t.match(await calls(1, 'Flaky'), [{ code: status.OK, text: 'attempt 2' }]);
      await apply(`[${to('v1', ', retries: {attempts: 0}')}]`);
      await until('the first failure to be final', async () => {
        const [result] = await calls(1, 'Flaky');
        return result!.code === status.UNAVAILABLE && /attempt 0 fails/.test(result!.text);
      });
      await apply(`[${to('v1', ', retries: {attempts: 3, retryOn: unavailable}')}]`);
      await until(
        'the third attempt to be made',
        async () => (await calls(1, 'Flaky'))[0]!.code === status.OK,
      );
    },
  );

  t.test('[TM-18] a fault is injected by the client itself', async (t) => {
    await apply(
      `[{fault: {abort: {percentage: {value: 100}, httpStatus: 503}}, route: [${destination('v1')}]}]`,
    );
    await until('the fault', async () => (await calls(1))[0]!.code === status.UNAVAILABLE);
    const served = v1.seen.get('Who');
    for (const { code, text } of await calls(5)) {
      t.equal(code, status.UNAVAILABLE);
      t.match(text, /fault/i);
    }
    t.equal(v1.seen.get('Who'), served, 'no call reached the server');
    await apply(`[${to('v1')}]`);
    await until('the fault to be over', async () => (await spread(5))['v1'] === 5);
  });

  t.test('routes change under load without a failed call', async (t) => {
    let isDone = false;
    const failed: CallResult[] = [];
    let made = 0;
    const load = (async () => {
      while (!isDone) {
        const results = await calls(20);
        made += results.length;
        failed.push(...results.filter(({ code }) => code !== status.OK));
      }
    })();
    for (const subset of ['v2', 'v1', 'v2', 'v1']) {
      await apply(`[${to(subset)}]`);
      await until(`all calls to go to ${subset}`, async () => (await spread(10))[subset] === 10);
    }
    await deletePolicy(controlPlane, 'VirtualService', 'orders');
    await until('both to be called', () => evenly(spread));
    isDone = true;
    await load;
    t.same(failed, [], `of ${made} calls`);
  });

  t.test('[DS-04] an endpoint that is taken out gets no further call', async (t) => {
    const began = performance.now();
    await deletePolicy(controlPlane, 'WorkloadEntry', 'orders-v2');
    await until('v2 to be left alone', async () => (await spread(10))['v1'] === 10);
    t.comment(`gone after ${Math.round(performance.now() - began)} ms`);
    v2.stop();
    t.same(await spread(40), { v1: 40 });
  });

  t.test('a service without endpoints fails at once, and serves when one comes', async (t) => {
    await deletePolicy(controlPlane, 'WorkloadEntry', 'orders-v1');
    await until('no endpoint', async () => (await calls(1))[0]!.code === status.UNAVAILABLE);
    await applyPolicy(controlPlane, instance('v1', v1.port));
    await until('v1 to be back', async () => (await spread(10))['v1'] === 10);
    t.same(await refusals(), []);
  });

  t.test(
    '[OP-01] it calls on while the control plane is away, and hears of changes after',
    async (t) => {
      await controlPlane.killHard();
      t.same(await spread(40), { v1: 40 });
      await controlPlane.restart();
      const again = await OrdersServer.start('v3');
      t.teardown(() => again.stop());
      await applyPolicy(controlPlane, instance('v3', again.port));
      await until('the new instance', async () => ((await spread(20))['v3'] ?? 0) > 0, 60_000);
      t.same(await refusals(), []);
    },
  );
});

/** What 40 calls give once both instances take half of them. */
async function evenly(
  spread: (count: number) => Promise<Record<string, number>>,
): Promise<Record<string, number> | undefined> {
  const counts = await spread(40);
  return counts['v1'] === 20 && counts['v2'] === 20 ? counts : undefined;
}
