import { kindByName } from '../kind-name.ts';
import { binomialBound } from './binomial-bound.ts';
import type { DemoMesh } from './demo-mesh.ts';
import type { MeshClient } from './mesh-client.ts';
import { applyFiles, runApply, runDelete } from './policy-commands.ts';
import type { PolicyFiles } from './policy-files.ts';
import type { SteadyLoad } from './steady-load.ts';
import { certificateSerial, countVersions, many, plainText, showCounts } from './traffic.ts';

/** What a step works with. */
export interface Stage {
  readonly mesh: DemoMesh;
  readonly client: MeshClient;
  readonly load: SteadyLoad;
  readonly policies: PolicyFiles;
}

export interface StepResult {
  readonly observed: string;
  readonly ok: boolean;
}

export interface Step {
  readonly name: string;
  readonly expected: string;
  /** Requests of the steady load may be lost here; the step itself says how many. */
  readonly mayLose?: boolean;
  run(stage: Stage): Promise<StepResult>;
}

const REVIEWS = 'http://reviews:9080/reviews/0';
const RATINGS = 'http://ratings:9080/ratings/0';
const PAGE_REVIEWS = 'http://productpage:9080/api/v1/products/0/reviews';
const JASON = { 'end-user': 'jason' };
const CANARY_REQUESTS = 600;
/** A right split fails the check in one run of 100,000. */
const CANARY_ALPHA = 1e-5;
const SETTLE_TIMEOUT_MS = 10_000;

/** In this order; each finds what the ones before it have left. */
export function demoSteps(policies: PolicyFiles): readonly Step[] {
  const bound = binomialBound(CANARY_REQUESTS, 0.1, CANARY_ALPHA);
  return [
    {
      name: 'six apps and a client, each with a sidecar',
      expected: '7 proxies SYNCED, all three versions of reviews answer',
      run: async ({ mesh, client }) => {
        await synced(mesh, 7);
        const seen = countVersions(await many(client, 60, REVIEWS));
        const versions = ['v1', 'v2', 'v3'].filter((version) => (seen.get(version) ?? 0) > 0);
        return {
          observed: `7 SYNCED, ${versions.join(' ')} answer`,
          ok: versions.length === 3 && seen.size === 3,
        };
      },
    },
    {
      name: 'traffic between sidecars is mutual TLS',
      expected: 'requests counted at reviews with mutual_tls and the principals of both sides',
      run: mutualTlsMetrics,
    },
    {
      name: 'all to v1',
      expected: '100 of 100 from reviews v1',
      run: async (stage) => {
        await applyFiles(stage.mesh.apiUrl, [policies.destinationRules, policies.allV1]);
        await settle(stage, REVIEWS, {}, 'v1', 20);
        return expectCounts(countVersions(await many(stage.client, 100, REVIEWS)), { v1: 100 });
      },
    },
    {
      name: 'canary 90/10',
      expected: `${bound.low} to ${bound.high} of ${CANARY_REQUESTS} from v2 (binomial bound), the rest from v1`,
      run: async (stage) => {
        await applyFiles(stage.mesh.apiUrl, [policies.canary]);
        await stage.mesh.until('a request to reach v2', SETTLE_TIMEOUT_MS, async () =>
          countVersions(await many(stage.client, 20, REVIEWS)).has('v2'),
        );
        const seen = countVersions(await many(stage.client, CANARY_REQUESTS, REVIEWS));
        const v2 = seen.get('v2') ?? 0;
        const v1 = seen.get('v1') ?? 0;
        return {
          observed: `${v2} from v2, ${v1} from v1`,
          ok: v2 >= bound.low && v2 <= bound.high && v1 + v2 === CANARY_REQUESTS,
        };
      },
    },
    {
      name: 'end-user: jason to v2',
      expected: 'jason 50 of 50 from v2, others 50 of 50 from v1',
      run: async (stage) => {
        await applyFiles(stage.mesh.apiUrl, [policies.jason]);
        await settle(stage, REVIEWS, JASON, 'v2', 10);
        await settle(stage, REVIEWS, {}, 'v1', 10);
        const jason = countVersions(await many(stage.client, 50, REVIEWS, JASON));
        const others = countVersions(await many(stage.client, 50, REVIEWS));
        return {
          observed: `jason ${showCounts(jason)}, others ${showCounts(others)}`,
          ok: jason.get('v2') === 50 && others.get('v1') === 50,
        };
      },
    },
    {
      name: "7 s delay on jason's ratings",
      expected: 'jason 200 after 7 s, others at once; the page of jason gives reviews up after 6 s',
      run: delayFault,
    },
    {
      name: `abort ${policies.abortStatus} on jason's ratings`,
      expected: `jason ${policies.abortStatus} "fault filter abort", others 200`,
      run: async (stage) => {
        await applyFiles(stage.mesh.apiUrl, [policies.abort]);
        await stage.mesh.until('the abort to reach jason', SETTLE_TIMEOUT_MS, async () => {
          const answer = await Promise.race([
            stage.client.get(RATINGS, JASON),
            new Promise<null>((done) => setTimeout(done, 1000, null)),
          ]);
          return answer?.status === policies.abortStatus;
        });
        const jason = await many(stage.client, 20, RATINGS, JASON);
        const others = await many(stage.client, 20, RATINGS);
        const aborted = jason.filter(
          ({ status, body }) => status === policies.abortStatus && body === 'fault filter abort',
        ).length;
        const served = others.filter(({ status }) => status === 200).length;
        return {
          observed: `jason ${aborted} of 20 aborted, others ${served} of 20 served`,
          ok: aborted === 20 && served === 20,
        };
      },
    },
    {
      name: 'a plain-text caller while PERMISSIVE',
      expected: '200 from the sidecar of reviews v1',
      run: async ({ mesh }) => {
        const answer = await plainText(mesh.sidecar('reviews-v1').settings.ports[0]!.listen);
        return { observed: answer || 'closed, 0 bytes', ok: answer === 'HTTP/1.1 200 OK' };
      },
    },
    {
      name: 'STRICT mutual TLS',
      expected: 'the plain-text caller: closed, 0 bytes; 100 of 100 mesh requests served',
      run: async (stage) => {
        const listen = stage.mesh.sidecar('reviews-v1').settings.ports[0]!.listen;
        await applyFiles(stage.mesh.apiUrl, [policies.strict]);
        await stage.mesh.until(
          'plain text to be refused',
          SETTLE_TIMEOUT_MS,
          async () => (await plainText(listen)) === '',
        );
        const answer = await plainText(listen);
        const served = (await many(stage.client, 100, REVIEWS)).filter(
          ({ status }) => status === 200,
        );
        return {
          observed: `${answer || 'closed, 0 bytes'}; ${served.length} of 100 served`,
          ok: answer === '' && served.length === 100,
        };
      },
    },
    {
      name: 'a misspelt policy',
      expected: 'refused with file:line:column and the right name; nothing stored',
      run: async (stage) => {
        const before = await storedRevision(stage.mesh);
        const { code, talk } = await runApply(stage.mesh.apiUrl, [policies.misspelt]);
        const isStored = (await storedRevision(stage.mesh)) !== before;
        const line = talk.split('\n').find((text) => text.includes('subsett')) ?? talk.trim();
        const ok =
          code !== 0 &&
          !isStored &&
          /misspelt\.yaml:\d+:\d+: /.test(line) &&
          /did you mean subset/.test(line);
        return { observed: `${isStored ? 'STORED: ' : ''}${line.replace(/^.*\//, '')}`, ok };
      },
    },
    {
      name: 'a policy that only a proxy can refuse',
      expected:
        'RDS ERROR in proxy-status naming the operator; traffic goes on; SYNCED once mended',
      run: proxyRefusal,
    },
    {
      name: 'a sidecar killed and restarted under load',
      expected: 'at most the requests in flight on it are lost; it serves again',
      mayLose: true,
      run: killSidecar,
    },
    {
      name: 'the control plane killed and restarted under load',
      expected: 'nothing lost, no policy lost, 7 proxies SYNCED again',
      run: killControlPlane,
    },
    {
      name: 'certificates renewed live',
      expected: 'every sidecar has another certificate than at its start',
      run: renewals,
    },
  ];
}

async function mutualTlsMetrics({ mesh, client }: Stage): Promise<StepResult> {
  await many(client, 5, PAGE_REVIEWS);
  const wanted = [
    'reporter="destination"',
    'source_principal="spiffe://cluster.local/ns/default/sa/bookinfo-productpage"',
    'destination_principal="spiffe://cluster.local/ns/default/sa/bookinfo-reviews"',
    'source_workload="productpage-v1"',
    'connection_security_policy="mutual_tls"',
  ];
  let missing: string[] = wanted;
  await mesh
    .until('the metrics of reviews', SETTLE_TIMEOUT_MS, async () => {
      for (const workload of ['reviews-v1', 'reviews-v2', 'reviews-v3']) {
        const { prometheus } = mesh.sidecar(workload).settings;
        const text = await (await fetch(`http://${prometheus}/stats/prometheus`)).text();
        const series = text.split('\n').filter((line) => line.startsWith('istio_requests_total{'));
        for (const line of series) {
          const absent = wanted.filter((label) => !line.includes(label));
          if (absent.length < missing.length) missing = absent;
        }
      }
      return missing.length === 0;
    })
    .catch(() => {});
  return {
    observed: missing.length === 0 ? 'so counted' : `no series with ${missing.join(', ')}`,
    ok: missing.length === 0,
  };
}

async function delayFault(stage: Stage): Promise<StepResult> {
  const { client, policies } = stage;
  await applyFiles(stage.mesh.apiUrl, [policies.delay]);
  await stage.mesh.until('the delay to reach jason', SETTLE_TIMEOUT_MS, async () => {
    const quick = await Promise.race([
      client.get(RATINGS, JASON),
      new Promise<null>((done) => setTimeout(done, 500, null)),
    ]);
    return quick === null;
  });
  const [jason, page, ...others] = await Promise.all([
    client.get(RATINGS, JASON),
    client.get(PAGE_REVIEWS, JASON),
    ...Array.from({ length: 10 }, () => client.get(RATINGS)),
  ]);
  const slowest = Math.max(...others.map(({ elapsedMs }) => elapsedMs));
  const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
  const ok =
    jason.status === 200 &&
    jason.elapsedMs >= 7000 &&
    jason.elapsedMs < 9000 &&
    others.every(({ status }) => status === 200) &&
    slowest < 3000 &&
    page.status === 500 &&
    page.elapsedMs >= 5900;
  return {
    observed: `jason ${jason.status} after ${seconds(jason.elapsedMs)}, others within ${seconds(slowest)}; page ${page.status} after ${seconds(page.elapsedMs)}`,
    ok,
  };
}

async function proxyRefusal(stage: Stage): Promise<StepResult> {
  const { mesh, load, policies } = stage;
  const mark = load.mark();
  await applyFiles(stage.mesh.apiUrl, [policies.unknownOperator]);
  let refusal = '';
  await mesh.until('a proxy to refuse the routes', SETTLE_TIMEOUT_MS, async () => {
    const refused = (await mesh.proxies()).flatMap(({ types }) =>
      types.filter(({ type, status }) => type === 'RDS' && status === 'ERROR'),
    );
    refusal = refused[0]?.error ?? '';
    return refusal.includes('FILTER_STATE');
  });
  await applyFiles(stage.mesh.apiUrl, [policies.jason]);
  await synced(mesh, 7);
  const { sent, failed } = load.since(mark);
  const named = /%?FILTER_STATE[^\s,;]*/.exec(refusal)?.[0] ?? '?';
  return {
    observed: `RDS ERROR "…${named}…"; ${failed} of ${sent} requests lost; SYNCED again`,
    ok: failed === 0 && sent > 0,
  };
}

async function killSidecar(stage: Stage): Promise<StepResult> {
  const { mesh, client, load } = stage;
  // Without routes reviews has three endpoints, so that two are left to carry the load.
  await runDelete(stage.mesh.apiUrl, ['virtualservice', 'reviews', 'ratings']);
  await mesh.until(
    'all versions to answer',
    SETTLE_TIMEOUT_MS,
    async () => countVersions(await many(client, 30, REVIEWS)).size === 3,
  );
  const mark = load.mark();
  const sidecar = mesh.sidecar('reviews-v2');
  const pid = sidecar.pid;
  sidecar.kill('SIGKILL');
  await mesh.until(
    'the sidecar to be started again',
    SETTLE_TIMEOUT_MS,
    async () => sidecar.pid !== pid,
  );
  await sidecar.ready(SETTLE_TIMEOUT_MS);
  await mesh.until('v2 to answer again', SETTLE_TIMEOUT_MS, async () =>
    countVersions(await many(client, 15, REVIEWS)).has('v2'),
  );
  await loadFor(stage, 40);
  const { sent, failed, failures } = load.since(mark);
  return {
    observed: `${failed} of ${sent} lost${failed > 0 ? ` (${failures[0]})` : ''}; v2 answers again`,
    ok: failed <= load.atOnceMax && sent >= 40,
  };
}

async function killControlPlane(stage: Stage): Promise<StepResult> {
  const { mesh, load, client, policies } = stage;
  await applyFiles(stage.mesh.apiUrl, [policies.jason]);
  await settle(stage, REVIEWS, JASON, 'v2', 10);
  const mark = load.mark();
  await mesh.killControlPlane();
  await loadFor(stage, 60);
  await mesh.startControlPlane();
  await synced(mesh, 7);
  await loadFor(stage, 60);
  const { sent, failed, failures } = load.since(mark);
  const kept = countVersions(await many(client, 20, REVIEWS, JASON)).get('v2') === 20;
  return {
    observed: `${failed} of ${sent} lost${failed > 0 ? ` (${failures[0]})` : ''}; routes ${kept ? 'kept' : 'lost'}; 7 SYNCED`,
    ok: failed === 0 && sent >= 120 && kept,
  };
}

async function renewals({ mesh }: Stage): Promise<StepResult> {
  const renewed = new Set<string>();
  const workloads = [...mesh.workloads];
  await mesh
    .until('every certificate to be renewed', SETTLE_TIMEOUT_MS * 2, async () => {
      for (const workload of workloads) {
        const log = mesh.serials.get(workload);
        const serial = await certificateSerial(mesh.sidecar(workload).settings.admin);
        if (log !== undefined && serial !== '' && serial !== log) renewed.add(workload);
      }
      return renewed.size === workloads.length;
    })
    .catch(() => {});
  return {
    observed: `${renewed.size} of ${workloads.length} renewed`,
    ok: renewed.size === workloads.length,
  };
}

/** Of the whole store: it changes with every write. */
async function storedRevision({ api }: DemoMesh): Promise<string> {
  return (await api.list(kindByName('virtualservice'), undefined)).metadata.resourceVersion;
}

/** Waits until the load has sent `count` more requests. */
async function loadFor({ mesh, load }: Stage, count: number): Promise<void> {
  const from = load.sent;
  await mesh.until(`${count} requests of the load`, 30_000, async () => load.sent >= from + count);
}

async function synced(mesh: DemoMesh, count: number): Promise<void> {
  let seen = '';
  const areSynced = async () => {
    const proxies = await mesh.proxies().catch(() => []);
    const ready = proxies.filter(({ types }) =>
      ['CDS', 'LDS', 'RDS'].every((name) =>
        types.some(({ type, status }) => type === name && status === 'SYNCED'),
      ),
    );
    seen = `; SYNCED: of ${proxies.length} connected ${ready.map(({ name }) => name).join(' ') || 'none'}`;
    return proxies.length === count && ready.length === count;
  };
  await mesh.until(`${count} proxies to be SYNCED`, 2 * SETTLE_TIMEOUT_MS, areSynced, () => seen);
}

function expectCounts(
  counts: ReadonlyMap<string, number>,
  expected: Readonly<Record<string, number>>,
): StepResult {
  const ok =
    counts.size === Object.keys(expected).length &&
    Object.entries(expected).every(([version, count]) => counts.get(version) === count);
  return { observed: showCounts(counts), ok };
}

/** A policy takes effect a moment after it was stored: waits until `count` answers in a row are of `version`. */
async function settle(
  { mesh, client }: Stage,
  url: string,
  headers: Readonly<Record<string, string>>,
  version: string,
  count: number,
): Promise<void> {
  await mesh.until(
    `the routes to lead to ${version}`,
    SETTLE_TIMEOUT_MS,
    async () => countVersions(await many(client, count, url, headers)).get(version) === count,
  );
}
