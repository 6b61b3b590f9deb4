import { binomialBound } from '../../cli/demo/binomial-bound.ts';
import { until } from '../harness/until.ts';
import type { ComposeProject, Container, Variant } from './compose-project.ts';
import { Prometheus } from './prometheus.ts';

export interface CheckResult {
  readonly observed: string;
  readonly ok: boolean | 'skipped';
}

export interface Check {
  readonly name: string;
  readonly expected: string;
  run(project: ComposeProject): Promise<CheckResult>;
}

const REVIEWS = 'http://reviews:9080/reviews/0';
const PAGE = 'http://productpage:9080/productpage';
const CANARY_REQUESTS = 600;
/** A right split fails the check in one run of 100,000. */
const CANARY_ALPHA = 1e-5;
const SETTLE_TIMEOUT_MS = 20_000;
/**
 * A control plane that starts again holds the registrations of before for so long. Where pods have changed addresses
 * meanwhile, some lead to a pod of another service, whose certificate is refused.
 */
const REGISTRATIONS_HELD_MS = 70_000;
/** Prometheus scrapes every 10 s, and a rate needs two. */
const SCRAPE_TIMEOUT_MS = 45_000;
const SIDECARS = 7;

/** In this order; each finds what the ones before it have left. */
export function composeChecks(variant: Variant): readonly Check[] {
  const bound = binomialBound(CANARY_REQUESTS, 0.1, CANARY_ALPHA);
  let prometheus: Prometheus | undefined;
  return [
    {
      name: 'what the containers may do',
      expected: privilegesExpected(variant),
      run: async (project) => privileges(await project.containers(), variant),
    },
    {
      name: 'what the apps know',
      expected:
        variant === 'explicit' ? 'HTTP_PROXY, nothing else' : 'no variable names a proxy or Weft',
      run: async (project) => appEnvironment(await project.containers(), variant),
    },
    {
      name: 'the mesh is up',
      expected: `${SIDECARS} proxies SYNCED; v1 v2 v3 of reviews answer; the page has its reviews`,
      run: async (project) => {
        // Scrapes while the other checks make traffic.
        if (Prometheus.program !== '') prometheus = await Prometheus.start(project);
        return meshIsUp(project);
      },
    },
    {
      name: 'the page from this machine',
      expected: '200 with reviews, at the published port',
      run: pageFromHost,
    },
    {
      name: 'mutual TLS between apps',
      expected: 'the sidecar of reviews v1 counts mutual_tls requests with both principals',
      run: mutualTls,
    },
    {
      name: 'a caller outside the mesh, PERMISSIVE',
      expected: '200 from reviews v1',
      run: async (project) => {
        const observed = await plainText(project);
        return { observed, ok: observed === '200' };
      },
    },
    {
      name: 'a host outside the mesh',
      expected: '20 of 20 served: what the mesh does not know passes through',
      run: outsideHost,
    },
    {
      name: 'all to v1',
      expected: '100 of 100 from reviews v1',
      run: async (project) => {
        await project.apply('destination-rules.yaml', 'all-v1.yaml');
        await settled(project, 'reviews-v1', 20);
        return same(await ask(project, 100), { 'reviews-v1': 100 });
      },
    },
    {
      name: 'canary 90/10',
      expected: `${bound.low} to ${bound.high} of ${CANARY_REQUESTS} from v2, the rest from v1`,
      run: async (project) => {
        await project.apply('reviews-90-10.yaml');
        await until(
          'a request to reach v2',
          async () => ((await ask(project, 20))['reviews-v2'] ?? 0) > 0,
          SETTLE_TIMEOUT_MS,
        );
        const answers = await ask(project, CANARY_REQUESTS);
        const { 'reviews-v1': v1 = 0, 'reviews-v2': v2 = 0 } = answers;
        const ok = v2 >= bound.low && v2 <= bound.high && v1 + v2 === CANARY_REQUESTS;
        return { observed: show(answers), ok };
      },
    },
    {
      name: 'end-user: jason to v2',
      expected: 'jason 50 of 50 from v2, others 50 of 50 from v1',
      run: async (project) => {
        await project.apply('reviews-jason-v2.yaml');
        await settled(project, 'reviews-v2', 10, 'end-user:jason');
        await settled(project, 'reviews-v1', 10);
        const jason = await ask(project, 50, 'end-user:jason');
        const others = await ask(project, 50);
        return {
          observed: `jason ${show(jason)}, others ${show(others)}`,
          ok: jason['reviews-v2'] === 50 && others['reviews-v1'] === 50,
        };
      },
    },
    {
      name: 'a misspelt policy',
      expected: 'refused with file:line:column and the right name',
      run: async (project) => {
        const { code, err, out } = await project.weft('apply', '-f', '/policies/misspelt.yaml');
        const line =
          `${out}${err}`.split('\n').find((each) => each.includes('misspelt.yaml:')) ?? '';
        return {
          observed: line.trim(),
          ok: code !== 0 && /misspelt\.yaml:\d+:\d+: .*did you mean subset\?/.test(line),
        };
      },
    },
    {
      name: 'STRICT mutual TLS',
      expected: 'the caller outside gets no answer; 100 of 100 inside the mesh do',
      run: async (project) => {
        await project.apply('all-v1.yaml', 'strict-mtls.yaml');
        const refused = await until(
          'the caller outside to be refused',
          async () => {
            const answer = await plainText(project);
            return answer !== '200' && answer;
          },
          SETTLE_TIMEOUT_MS,
        );
        await settled(project, 'reviews-v1', 20);
        const inside = await ask(project, 100);
        return {
          observed: `outside ${refused}, inside ${show(inside)}`,
          ok: /^(ECONNRESET|UND_ERR_SOCKET)$/.test(refused) && inside['reviews-v1'] === 100,
        };
      },
    },
    {
      name: 'a sidecar started again',
      expected: 'ready again; 50 of 50 served',
      run: async (project) => {
        await project.docker('restart', await project.container('reviews-v1-sidecar'));
        return servedAgain(project);
      },
    },
    {
      name: 'an app made anew beside its sidecar',
      expected: 'the same network; 50 of 50 served',
      run: async (project) => {
        await project.up('--force-recreate', '--no-deps', 'reviews-v1');
        return servedAgain(project);
      },
    },
    {
      name: 'a whole pod made anew',
      expected: 'another network, rules and all; 50 of 50 served',
      run: async (project) => {
        const own = [...(await project.containers()).keys()].filter((service) =>
          /^reviews-v1(-|$)/.test(service),
        );
        await project.remove(...own);
        await project.up();
        return servedAgain(project);
      },
    },
    {
      name: 'the control plane started again',
      expected: `nothing lost meanwhile; ${SIDECARS} proxies SYNCED again`,
      run: async (project) => {
        const load = ask(project, 300);
        await project.docker('restart', await project.container('control-plane'));
        const answers = await load;
        const synced = await allSynced(project);
        return {
          observed: `${show(answers)}; ${synced} SYNCED`,
          ok: answers['reviews-v1'] === 300 && synced === SIDECARS,
        };
      },
    },
    {
      name: 'compose up once more',
      expected: 'every one-time step ends with 0 again; 50 of 50 served',
      run: async (project) => {
        await project.up();
        const failed = [...(await project.containers())]
          .filter(([, { State }]) => State.Status === 'exited' && State.ExitCode !== 0)
          .map(([service, { State }]) => `${service}: ${State.ExitCode}`);
        const answers = await servedAgain(project);
        return failed.length === 0 ? answers : { observed: failed.join(', '), ok: false };
      },
    },
    {
      name: 'everything stopped, then up',
      expected: 'policies, identities and rules are there again; 50 of 50 served within 90 s',
      run: async (project) => {
        await project.stop();
        await project.up();
        return servedAgain(project, REGISTRATIONS_HELD_MS + SETTLE_TIMEOUT_MS);
      },
    },
    {
      name: 'Prometheus and the dashboards',
      expected: 'every target up; every query of a dashboard answered',
      run: async () =>
        prometheus === undefined
          ? { observed: 'prometheus is not installed here (Debian: prometheus)', ok: 'skipped' }
          : scraped(prometheus),
    },
    {
      name: 'nothing unexpected in a log',
      expected: 'no sidecar nor the control plane logged a bug',
      run: async (project) => {
        const services = [...(await project.containers()).keys()].filter(isOurs);
        const lines = await Promise.all(
          services.map(async (service) =>
            (await project.logs(service, 5000))
              .split('\n')
              .filter((line) => /unexpected error|a bug ended|"level":"(error|fatal)"/.test(line))
              .map((line) => `${service}: ${line.slice(0, 200)}`),
          ),
        );
        const found = lines.flat();
        const observed = found[0] ?? `${services.length} logs read, none`;
        return { observed, ok: found.length === 0 && services.length === SIDECARS + 1 };
      },
    },
  ];
}

const isOurs = (service: string) => service === 'control-plane' || service.endsWith('-sidecar');

function privilegesExpected(variant: Variant): string {
  const sidecars = `${SIDECARS} sidecars as 1337, read-only root, no capability`;
  return variant === 'explicit'
    ? `${sidecars}; nothing has one`
    : `${sidecars}; NET_ADMIN for redirect alone, which has ended with 0`;
}

function privileges(containers: ReadonlyMap<string, Container>, variant: Variant): CheckResult {
  const wrong: string[] = [];
  let sidecars = 0;
  let redirects = 0;
  for (const [service, { State, Config, HostConfig }] of containers) {
    const added = (HostConfig.CapAdd ?? []).map((name) => name.replace('CAP_', '')).sort();
    const isRedirect = service.endsWith('-redirect');
    const may = isRedirect && variant === 'transparent' ? 'NET_ADMIN' : '';
    if (added.join() !== may) wrong.push(`${service} has ${added.join()}`);
    if (HostConfig.Privileged || HostConfig.CapDrop?.includes('ALL') !== true) {
      wrong.push(`${service} keeps capabilities`);
    }
    if (!HostConfig.ReadonlyRootfs) wrong.push(`${service} can write its root`);
    if (isRedirect) {
      redirects += 1;
      if (State.Status !== 'exited' || State.ExitCode !== 0)
        wrong.push(`${service} did not end well`);
    } else if (isOurs(service)) {
      if (service !== 'control-plane') sidecars += 1;
      if (Config.User !== '1337:1337') wrong.push(`${service} runs as ${Config.User}`);
      if (State.Health?.Status !== 'healthy') wrong.push(`${service} is ${State.Health?.Status}`);
    }
  }
  const counted = `${sidecars} sidecars, ${redirects} redirects`;
  const complete =
    sidecars === SIDECARS && redirects === (variant === 'transparent' ? SIDECARS : 0);
  return { observed: wrong.join('; ') || counted, ok: wrong.length === 0 && complete };
}

function appEnvironment(containers: ReadonlyMap<string, Container>, variant: Variant): CheckResult {
  const apps = [...containers].filter(([service]) => /-v\d$|^client$/.test(service));
  const known = apps.map(([service, { Config }]) => {
    const names = Config.Env.map((entry) => entry.split('=')[0]!);
    return { service, names: names.filter((name) => /proxy|weft|istio/i.test(name)).sort() };
  });
  const expected = variant === 'explicit' ? 'HTTP_PROXY,NODE_USE_ENV_PROXY,NO_PROXY' : '';
  const wrong = known.filter(({ names }) => names.join() !== expected);
  return {
    observed:
      wrong.map(({ service, names }) => `${service}: ${names}`).join('; ') ||
      `${apps.length} apps: ${expected || 'nothing'}`,
    ok: wrong.length === 0 && apps.length === SIDECARS,
  };
}

/** How often which answer came to requests of the client app: its version of reviews, its status or its error. */
type Answers = Readonly<Record<string, number>>;

async function ask(project: ComposeProject, count: number, header = ''): Promise<Answers> {
  return asked(project, REVIEWS, count, header);
}

async function asked(
  project: ComposeProject,
  url: string,
  count: number,
  header = '',
): Promise<Answers> {
  const headers = header === '' ? [] : ['--header', header];
  const words = ['/client/requests.ts', url, '--count', String(count), ...headers];
  return JSON.parse(await project.node('client', ...words)) as Answers;
}

function show(answers: Answers): string {
  return Object.entries(answers)
    .map(([answer, count]) => `${count} ${answer}`)
    .join(', ');
}

function same(answers: Answers, expected: Answers): CheckResult {
  return { observed: show(answers), ok: show(answers) === show(expected) };
}

/** Until `count` requests in a row all get `answer`: a new policy has reached the client's sidecar. */
async function settled(
  project: ComposeProject,
  answer: string,
  count: number,
  header = '',
  timeoutMs = SETTLE_TIMEOUT_MS,
): Promise<void> {
  let last: Answers = {};
  await until(
    `${answer} alone to answer`,
    async () => {
      last = await ask(project, count, header);
      return last[answer] === count;
    },
    timeoutMs,
  ).catch((error: Error) => {
    throw new Error(`${error.message}; the last answers: ${show(last)}`);
  });
}

async function servedAgain(
  project: ComposeProject,
  timeoutMs = SETTLE_TIMEOUT_MS,
): Promise<CheckResult> {
  await settled(project, 'reviews-v1', 10, '', timeoutMs);
  return same(await ask(project, 50), { 'reviews-v1': 50 });
}

/** Proxies with every type SYNCED, once all are or in vain. */
async function allSynced(project: ComposeProject): Promise<number> {
  let synced = 0;
  await until(
    'every proxy to be SYNCED',
    async () => {
      const words = ['/opt/weft/weft.mjs', 'proxy-status'];
      const table = await project.node('control-plane', ...words).catch(() => '');
      synced = table
        .split('\n')
        .filter((line) => /(\sSYNCED){4}\s/.test(line.replace(/\s+/g, ' '))).length;
      return synced === SIDECARS;
    },
    SETTLE_TIMEOUT_MS,
  ).catch(() => {});
  return synced;
}

async function meshIsUp(project: ComposeProject): Promise<CheckResult> {
  const synced = await allSynced(project);
  const versions = ['reviews-v1', 'reviews-v2', 'reviews-v3'];
  await until(
    'every version to answer',
    async () =>
      Object.keys(await ask(project, 60))
        .sort()
        .join() === versions.join(),
    SETTLE_TIMEOUT_MS,
  );
  const page = await asked(project, PAGE, 20);
  return {
    observed: `${synced} SYNCED; ${versions.join(' ')} answer; page ${show(page)}`,
    ok: synced === SIDECARS && Object.keys(page).every((answer) => versions.includes(answer)),
  };
}

async function mutualTls(project: ComposeProject): Promise<CheckResult> {
  const metrics = await project.stranger(
    "fetch('http://reviews-v1-pod:15090/stats/prometheus').then(async (r) => console.log(await r.text()))",
  );
  const principals =
    /^istio_requests_total\{(?=.*reporter="destination")(?=.*source_principal="spiffe:\/\/cluster\.local\/ns\/default\/sa\/client")(?=.*destination_principal="spiffe:\/\/cluster\.local\/ns\/default\/sa\/bookinfo-reviews")(?=.*connection_security_policy="mutual_tls").*\} (\d+)$/m;
  const counted = Number(principals.exec(metrics)?.[1] ?? 0);
  const plain = /^istio_requests_total\{.*connection_security_policy="none".*\} [1-9]/m.test(
    metrics,
  );
  return {
    observed: `${counted} mutual_tls requests from sa/client to sa/bookinfo-reviews${plain ? ', and some in plain text' : ''}`,
    ok: counted > 0 && !plain,
  };
}

async function outsideHost(project: ComposeProject): Promise<CheckResult> {
  const name = `${project.name}-outside`;
  const server = "require('http').createServer((_, r) => r.end('outside')).listen(8080)";
  await project.outsider(['--detach', '--name', name], 'node', ['-e', server]);
  const url = `http://${name}:8080/`;
  await until(
    'the outside server to listen',
    async () => (await asked(project, url, 1))['200'] === 1,
    SETTLE_TIMEOUT_MS,
  );
  return same(await asked(project, url, 20), { 200: 20 });
}

/** The status, or the error's code where no answer came. */
async function plainText(project: ComposeProject): Promise<string> {
  const url = 'http://reviews-v1-pod:9080/reviews/0';
  const script = `fetch('${url}').then((r) => console.log(r.status), (e) => console.log(e.cause?.code ?? e.message))`;
  return (await project.stranger(script)).trim();
}

/** Dashboards ask for more than this example has: opaque TCP, refusals, dropped log lines. */
const MAY_BE_EMPTY = /TCP|^workload: (Bytes|Connections opened)|Trouble|Refusals|Refused/;

/** Targets up; each query of a dashboard taken, and answered where this example has something to show. */
async function scraped(prometheus: Prometheus): Promise<CheckResult> {
  const { up, down } = await prometheus.targetsDown(SCRAPE_TIMEOUT_MS);
  let wrong: string[] = [];
  let queries = 0;
  await until(
    'every panel to have something to show',
    async () => {
      const counts = await prometheus.askDashboards();
      queries = counts.size;
      wrong = [...counts]
        .filter(([panel, count]) => count < 0 || (count === 0 && !MAY_BE_EMPTY.test(panel)))
        .map(([panel, count]) => `${panel}: ${count < 0 ? 'refused' : 'empty'}`);
      return wrong.length === 0;
    },
    SCRAPE_TIMEOUT_MS,
  ).catch(() => {});
  const observed = `${up} targets up, ${queries} queries answered`;
  return {
    observed: [...down, ...wrong].join('; ') || observed,
    // The sidecars, the control plane and itself.
    ok: down.length === 0 && wrong.length === 0 && up === SIDECARS + 2 && queries > 30,
  };
}

async function pageFromHost(project: ComposeProject): Promise<CheckResult> {
  const port = (await project.compose(['port', 'productpage-v1-pod', '9080'])).out.trim();
  const response = await fetch(`http://${port}/productpage`, {
    signal: AbortSignal.timeout(10_000),
  });
  const reviews =
    /Reviews served by (reviews-v\d)/.exec(await response.text())?.[1] ?? 'no reviews';
  return {
    observed: `${response.status} with ${reviews}`,
    ok: response.status === 200 && reviews !== 'no reviews',
  };
}
