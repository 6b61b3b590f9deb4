import {
  CONTROL_PLANE,
  LEADER_LEASE,
  ROOT_CONFIG_MAP,
} from '../../control-plane/kubernetes/own-objects.ts';
import {
  CONFIG_MAPS,
  CUSTOM_RESOURCE_DEFINITIONS,
  DEPLOYMENTS,
  ENDPOINT_SLICES,
  LEASES,
  MUTATING_WEBHOOKS,
  NAMESPACES,
  PODS,
  type ResourceType,
  VALIDATING_WEBHOOKS,
} from '../../control-plane/kubernetes/resource-type.ts';
import {
  clusterName,
  INJECTION_WEBHOOKS,
  type Installation,
  type Manifest,
  VALIDATION_WEBHOOKS,
} from '../../deploy/manifests/installation.ts';
import { definitionManifests, manifests } from '../../deploy/manifests/manifests.ts';
import { type Check, type CheckCategory, failed, OK, okUnless } from './check.ts';
import { at, type Cluster, listAt, textAt } from './cluster.ts';
import { isInjected } from './data-plane-checks.ts';
import { typeOf } from './manifest-type.ts';
import { readCertificates } from './root-certificate.ts';

export interface InstallationCheckOptions {
  readonly cluster: Cluster;
  readonly installation: Installation;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
}

/** Milliseconds after which a Lease that nobody renewed belongs to nobody. */
const LEASE_MS = 15_000;

/** Whether all that an installation is made of is there and runs. */
export function existence({
  cluster,
  installation,
  nowMs,
}: InstallationCheckOptions): CheckCategory {
  const { namespace } = installation;
  return {
    name: 'weft-existence',
    checks: [
      {
        description: 'control plane namespace exists',
        hint: 'namespace-exists',
        fatal: true,
        run: async () =>
          (await cluster.get(NAMESPACES, '', namespace)) === null
            ? failed(`there is no namespace ${namespace}: weft install | kubectl apply -f -`)
            : OK,
      },
      {
        description: 'every object of the installation exists',
        hint: 'objects-exist',
        run: async () => {
          const missing: string[] = [];
          for (const object of manifests(installation)) {
            const { namespace: where = '', name } = object.metadata;
            if ((await cluster.get(typeOf(object), where, name)) === null) {
              missing.push(`${object.kind} ${where === '' ? '' : `${where}/`}${name} is missing`);
            }
          }
          return okUnless(missing);
        },
      },
      {
        description: 'control plane replicas are ready',
        hint: 'replicas-ready',
        retry: true,
        run: async () => {
          const deployment = await cluster.get(DEPLOYMENTS, namespace, CONTROL_PLANE);
          const wanted = Number(at(deployment, 'spec', 'replicas') ?? 1);
          const ready = Number(at(deployment, 'status', 'readyReplicas') ?? 0);
          if (deployment !== null && wanted > 0 && ready >= wanted) return OK;
          return failed(
            [
              `${ready} of ${wanted} replicas are ready`,
              ...(await podTroubles(cluster, namespace)),
            ].join('\n'),
          );
        },
      },
      {
        description: 'control plane Service has endpoints',
        hint: 'service-endpoints',
        retry: true,
        run: async () => {
          const slices = await cluster.list(
            ENDPOINT_SLICES,
            namespace,
            `kubernetes.io/service-name=${CONTROL_PLANE}`,
          );
          const ready = slices
            .flatMap((slice) => listAt(slice, 'endpoints'))
            .filter((endpoint) => at(endpoint, 'conditions', 'ready') !== false);
          return ready.length > 0
            ? OK
            : failed(`Service ${namespace}/${CONTROL_PLANE} has no ready endpoint`);
        },
      },
      {
        description: 'one replica leads',
        hint: 'leader',
        retry: true,
        warning: true,
        run: async () => {
          const lease = await cluster.get(LEASES, namespace, LEADER_LEASE);
          const holder = textAt(lease, 'spec', 'holderIdentity');
          const renewed = Date.parse(textAt(lease, 'spec', 'renewTime'));
          if (holder === '') return failed(`Lease ${namespace}/${LEADER_LEASE} names no holder`);
          if (Number.isNaN(renewed)) {
            return failed(`${holder} never renewed Lease ${namespace}/${LEADER_LEASE}`);
          }
          const ageMs = nowMs() - renewed;
          return ageMs < 2 * LEASE_MS
            ? OK
            : failed(
                `${holder} renewed Lease ${namespace}/${LEADER_LEASE} ${Math.round(ageMs / 1000)} s ago`,
              );
        },
      },
    ],
  };
}

/** Whether what the control plane writes into the cluster is there and right. */
export function configuration({ cluster, installation }: InstallationCheckOptions): CheckCategory {
  const { webhooks } = installation.values;
  const webhook = (type: ResourceType, base: string, enabled: boolean, what: string): Check => ({
    description: `${what} webhooks have a certificate authority that signs for the control plane`,
    hint: 'webhook-ca-bundle',
    retry: true,
    run: async () => {
      if (!enabled) return { kind: 'skipped', reason: 'not part of this installation' };
      const name = clusterName(installation, base);
      const object = await cluster.get(type, '', name);
      const bundles = listAt(object, 'webhooks').map((each) =>
        textAt(each, 'clientConfig', 'caBundle'),
      );
      if (bundles.length === 0) return failed(`${type.kind} ${name} is missing or empty`);
      const roots = new Set((await rootFingerprints(cluster, installation)) ?? []);
      const wrong = bundles.filter((bundle) => {
        const pem = Buffer.from(bundle, 'base64').toString('latin1');
        return !readCertificates(pem).some(({ fingerprint256 }) => roots.has(fingerprint256));
      });
      return wrong.length === 0
        ? OK
        : failed(
            `${type.kind} ${name}: ${wrong.length} of ${bundles.length} webhooks do not trust the mesh root; the leading replica writes caBundle`,
          );
    },
  });
  return {
    name: 'weft-config',
    checks: [
      {
        description: 'policy kinds are served',
        hint: 'policy-kinds',
        retry: true,
        run: async () => {
          const troubles: string[] = [];
          for (const wanted of definitionManifests()) {
            troubles.push(...(await definitionTroubles(cluster, wanted)));
          }
          return okUnless(troubles);
        },
      },
      webhook(MUTATING_WEBHOOKS, INJECTION_WEBHOOKS, webhooks.injection.enabled, 'injection'),
      webhook(VALIDATING_WEBHOOKS, VALIDATION_WEBHOOKS, webhooks.validation.enabled, 'validation'),
      {
        description: 'namespaces with injection have the mesh root',
        hint: 'root-config-map',
        retry: true,
        run: async () => {
          const namespaces = (await cluster.list(NAMESPACES)).filter((each) =>
            isInjected(each, installation),
          );
          const missing: string[] = [];
          for (const { metadata } of namespaces) {
            if ((await cluster.get(CONFIG_MAPS, metadata.name, ROOT_CONFIG_MAP)) === null) {
              missing.push(`ConfigMap ${metadata.name}/${ROOT_CONFIG_MAP} is missing`);
            }
          }
          return okUnless(missing);
        },
      },
    ],
  };
}

async function podTroubles(cluster: Cluster, namespace: string): Promise<string[]> {
  const pods = await cluster.list(PODS, namespace, `app=${CONTROL_PLANE}`);
  return pods.flatMap((pod) =>
    listAt(pod, 'status', 'containerStatuses').flatMap((status) => {
      const waiting = textAt(status, 'state', 'waiting', 'reason');
      const restarts = Number(at(status, 'restartCount') ?? 0);
      if (waiting === '' && restarts === 0) return [];
      return [`pod ${pod.metadata.name}: ${waiting || 'running'}, ${restarts} restarts`];
    }),
  );
}

async function definitionTroubles(cluster: Cluster, wanted: Manifest): Promise<string[]> {
  const { name } = wanted.metadata;
  const found = await cluster.get(CUSTOM_RESOURCE_DEFINITIONS, '', name);
  if (found === null) return [`CustomResourceDefinition ${name} is missing`];
  const served = new Set(
    listAt(found, 'spec', 'versions')
      .filter((each) => at(each, 'served') === true)
      .map((each) => textAt(each, 'name')),
  );
  const stored = listAt(wanted, 'spec', 'versions').map((each) => textAt(each, 'name'))[0]!;
  const troubles = served.has(stored) ? [] : [`${name} is not served in version ${stored}`];
  const conditions = listAt(found, 'status', 'conditions');
  const established = conditions.find((each) => textAt(each, 'type') === 'Established');
  if (established !== undefined && textAt(established, 'status') !== 'True') {
    troubles.push(`${name} is not established: ${textAt(established, 'message')}`);
  }
  return troubles;
}

async function rootFingerprints(
  cluster: Cluster,
  { namespace }: Installation,
): Promise<string[] | null> {
  const map = await cluster.get(CONFIG_MAPS, namespace, ROOT_CONFIG_MAP);
  if (map === null) return null;
  return readCertificates(textAt(map, 'data', 'root-cert.pem')).map((each) => each.fingerprint256);
}
