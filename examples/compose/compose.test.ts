import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';

/** The rules that both compose files keep; `make e2e-compose` runs them. */

interface Service {
  readonly image: string;
  readonly command?: readonly string[];
  readonly user?: string;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly cap_add?: readonly string[];
  readonly privileged?: boolean;
  readonly network_mode?: string;
  readonly profiles?: readonly string[];
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
}

const DIRECTORY = import.meta.dirname;
const read = (file: string): unknown =>
  parse(readFileSync(join(DIRECTORY, file), 'utf8'), { merge: true });

const WORKLOADS = [
  'details-v1',
  'ratings-v1',
  'reviews-v1',
  'reviews-v2',
  'reviews-v3',
  'productpage-v1',
  'client',
] as const;

describe.each(['explicit', 'transparent'] as const)('compose.%s.yaml', (variant) => {
  const { services, volumes } = read(`compose.${variant}.yaml`) as {
    services: Readonly<Record<string, Service>>;
    volumes: object;
  };
  const service = (name: string): Service => {
    const found = services[name];
    if (found === undefined) throw new Error(`there is no service ${name}`);
    return found;
  };
  const unprofiled = Object.entries(services).filter(([, { profiles }]) => profiles === undefined);

  test('app and sidecar share the namespace of a third container, so that each can be made anew', () => {
    for (const name of WORKLOADS) {
      const network = `service:${name}-pod`;
      expect(service(name).network_mode).toBe(network);
      expect(service(`${name}-sidecar`).network_mode).toBe(network);
      expect(service(`${name}-pod`).network_mode).toBeUndefined();
    }
  });

  test('nothing is privileged, and redirect alone has capabilities', () => {
    for (const [
      name,
      { cap_drop: dropped, cap_add: added, read_only: readOnly, privileged },
    ] of unprofiled) {
      expect({ name, dropped, readOnly, privileged }).toEqual({
        name,
        dropped: ['ALL'],
        readOnly: true,
        privileged: undefined,
      });
      const isRedirect = name.endsWith('-redirect');
      expect(added, name).toEqual(isRedirect ? ['NET_ADMIN'] : undefined);
      if (!isRedirect) expect(['node', undefined], name).toContain(services[name]!.user);
    }
  });

  test('a sidecar waits for its identity, and in transparent mode for the rules', () => {
    for (const name of WORKLOADS) {
      const { environment, volumes: mounted, depends_on: after } = service(`${name}-sidecar`);
      const account = environment!['SERVICE_ACCOUNT']!;
      const identity = `identity-${account.replace('bookinfo-', '')}`;
      expect(service(identity).command).toContain(`--service-account=${account}`);
      expect(mounted).toEqual([`${identity}:/var/lib/weft`]);
      expect(Object.keys(volumes)).toContain(identity);
      const once = { condition: 'service_completed_successfully' };
      expect(after).toEqual(
        variant === 'explicit'
          ? { [identity]: once }
          : { [identity]: once, [`${name}-redirect`]: once },
      );
    }
  });

  test('no app sees the identity of a sidecar, and each sidecar its own alone', () => {
    for (const [name, { volumes: mounted = [] }] of unprofiled) {
      const identities = mounted.filter((each) => /^(identity|control-plane)/.test(each));
      const may =
        name.endsWith('-sidecar') || name.startsWith('identity-') || name === 'control-plane';
      expect(identities.length, name).toBe(may ? 1 : 0);
    }
  });

  test('the apps know HTTP_PROXY in explicit mode and nothing in transparent mode', () => {
    for (const name of WORKLOADS) {
      const names = Object.keys(service(name).environment ?? {}).filter(
        (each) => !['SERVICE_VERSION', 'HOST'].includes(each),
      );
      expect(names.sort()).toEqual(
        variant === 'explicit' ? ['HTTP_PROXY', 'NODE_USE_ENV_PROXY', 'NO_PROXY'] : [],
      );
    }
  });

  test('what must be pulled stands behind a profile, and no port is open beyond this machine', () => {
    for (const [name, { image, profiles, ports = [] }] of Object.entries(services)) {
      const ours = /^\$\{(WEFT|NODE)_IMAGE:-/.test(image);
      expect(ours || profiles !== undefined, name).toBe(true);
      for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\$\{\w+_PORT-\d+\}:\d+$/);
    }
  });

  test('every file that is mounted is there', () => {
    const mounted = Object.values(services).flatMap((each) => each.volumes ?? []);
    const paths = mounted.map((each) => each.split(':')[0]!).filter((each) => each.startsWith('.'));
    expect(paths.filter((path) => !existsSync(join(DIRECTORY, path)))).toEqual([]);
  });

  test('Prometheus scrapes every sidecar and the control plane', () => {
    const { scrape_configs: jobs } = read('prometheus/prometheus.yaml') as {
      scrape_configs: { job_name: string; static_configs: { targets: string[] }[] }[];
    };
    const targets = (job: string) =>
      jobs
        .find(({ job_name: name }) => name === job)!
        .static_configs.flatMap((each) => each.targets);
    expect(targets('sidecars').sort()).toEqual(WORKLOADS.map((name) => `${name}-pod:15020`).sort());
    expect(targets('control-plane')).toEqual(['control-plane:15014']);
  });
});
