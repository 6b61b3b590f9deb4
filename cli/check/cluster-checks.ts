import type { KubernetesObject } from '../../control-plane/kubernetes/kubernetes-object.ts';
import {
  CONFIG_MAPS,
  ENDPOINT_SLICES,
  LEASES,
  MUTATING_WEBHOOKS,
  NAMESPACES,
  PODS,
  type ResourceType,
  VALIDATING_WEBHOOKS,
} from '../../control-plane/kubernetes/resource-type.ts';
import {
  CONTROL_PLANE,
  INJECTION_WEBHOOKS,
  type Installation,
  type Manifest,
  ROOT_CONFIG,
  VALIDATION_WEBHOOKS,
} from '../../deploy/manifests/installation.ts';
import { definitionManifests, manifests } from '../../deploy/manifests/manifests.ts';
import { type Check, type CheckCategory, failed, OK, okUnless } from './check.ts';
import { at, type Cluster, listAt, textAt } from './cluster.ts';
import { dataPlaneChecks, isInjected } from './data-plane-checks.ts';
import { readCertificates, rootIsValid, rootLivesOn } from './root-certificate.ts';

export interface ClusterCheckOptions {
  readonly cluster: Cluster;
  readonly installation: Installation;
  /** Before an installation: whether it could be made. */
  readonly pre: boolean;
  /** The sidecars too. */
  readonly dataPlane: boolean;
  /** Of the sidecars; '' = all. */
  readonly dataPlaneNamespace: string;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
}

/** CustomResourceDefinitions of apiextensions.k8s.io/v1, namespaced webhooks of admissionregistration. */
const MINOR_MIN = 25;
/** Init containers with `restartPolicy: Always` are on by default from here (KI-03). */
const MINOR_NATIVE_SIDECARS = 29;
/** Milliseconds after which a Lease that nobody renewed belongs to nobody. */
const LEASE_MS = 15_000;

export function clusterChecks(options: ClusterCheckOptions): CheckCategory[] {
  return [
    kubernetesApi(options),
    ...(options.pre
      ? [preInstallation(options)]
      : [existence(options), configuration(options), identity(options), version(options)]),
    ...(options.dataPlane ? [dataPlaneChecks(options)] : []),
  ];
}

function kubernetesApi({ cluster, installation }: ClusterCheckOptions): CheckCategory {
  return {
    name: 'kubernetes-api',
    checks: [
      {
        description: 'can query the Kubernetes API',
        hint: 'kubernetes-api',
        fatal: true,
        run: async () => {
          await cluster.version();
          return OK;
        },
      },
      {
        description: `is running at least version 1.${MINOR_MIN}`,
        hint: 'kubernetes-version',
        run: async () => {
          const { text, minor } = await cluster.version();
          return minor >= MINOR_MIN ? OK : failed(`${cluster.address} is of version ${text}`);
        },
      },
      {
        description: 'has native sidecars',
        hint: 'native-sidecars',
        warning: true,
        run: async () => {
          if (!installation.values.injection.nativeSidecar) {
            return { kind: 'skipped', reason: 'injection.nativeSidecar is false' };
          }
          const { text, minor } = await cluster.version();
          return minor >= MINOR_NATIVE_SIDECARS
            ? OK
            : failed(`${text} has none by default: set injection.nativeSidecar=false`);
        },
      },
    ],
  };
}

function preInstallation({ cluster, installation }: ClusterCheckOptions): CheckCategory {
  const types = new Map<string, ResourceType>();
  for (const object of manifests(installation)) {
    const type = typeOf(object);
    if (!type.group.startsWith('monitoring.')) types.set(`${type.group}/${type.kind}`, type);
  }
  return {
    name: 'pre-installation',
    checks: [
      {
        description: 'control plane namespace does not exist yet, or holds no control plane',
        hint: 'not-installed-yet',
        run: async () => {
          const there = await cluster.get(DEPLOYMENTS, installation.namespace, CONTROL_PLANE);
          return there === null
            ? OK
            : failed(
                `Deployment ${installation.namespace}/${CONTROL_PLANE} exists: apply over it to upgrade`,
              );
        },
      },
      ...[...types.values()].map(
        (type): Check => ({
          description: `can create ${type.kind}s`,
          hint: 'may-create',
          run: async () =>
            (await cluster.may('create', type, type.namespaced ? installation.namespace : ''))
              ? OK
              : failed(
                  `create ${type.plural} of ${type.group || 'the core group'} is not allowed to you`,
                ),
        }),
      ),
      {
        description: 'no other mesh injects sidecars into the same pods',
        hint: 'other-injectors',
        warning: true,
        run: async () =>
          okUnless(
            (await cluster.list(MUTATING_WEBHOOKS))
              .filter((object) => !ours(object) && OTHER_INJECTOR.test(object.metadata.name))
              .map(
                ({ metadata }) =>
                  `MutatingWebhookConfiguration ${metadata.name}: a pod must ask for one mesh only`,
              ),
          ),
      },
    ],
  };
}

const OTHER_INJECTOR =
  /istio-sidecar-injector|linkerd-proxy-injector|kuma-admission|consul-.*injector/;

function existence({ cluster, installation, nowMs }: ClusterCheckOptions): CheckCategory {
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
          const lease = await cluster.get(LEASES, namespace, 'weft-leader');
          const holder = textAt(lease, 'spec', 'holderIdentity');
          const renewed = Date.parse(textAt(lease, 'spec', 'renewTime'));
          if (holder === '') return failed(`Lease ${namespace}/weft-leader names no holder`);
          const ageMs = nowMs() - renewed;
          return ageMs < 2 * LEASE_MS
            ? OK
            : failed(
                `${holder} renewed Lease ${namespace}/weft-leader ${Math.round(ageMs / 1000)} s ago`,
              );
        },
      },
    ],
  };
}

function configuration({ cluster, installation }: ClusterCheckOptions): CheckCategory {
  const { webhooks } = installation.values;
  const webhook = (type: ResourceType, base: string, enabled: boolean, what: string): Check => ({
    description: `${what} webhooks have a certificate authority that signs for the control plane`,
    hint: 'webhook-ca-bundle',
    retry: true,
    run: async () => {
      if (!enabled) return { kind: 'skipped', reason: 'not part of this installation' };
      const name = clusterObjectName(installation, base);
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
            if ((await cluster.get(CONFIG_MAPS, metadata.name, ROOT_CONFIG)) === null) {
              missing.push(`ConfigMap ${metadata.name}/${ROOT_CONFIG} is missing`);
            }
          }
          return okUnless(missing);
        },
      },
    ],
  };
}

function identity({ cluster, installation, nowMs }: ClusterCheckOptions): CheckCategory {
  const roots = async () => {
    const map = await cluster.get(CONFIG_MAPS, installation.namespace, ROOT_CONFIG);
    if (map === null) {
      throw new Error(
        `ConfigMap ${installation.namespace}/${ROOT_CONFIG} is missing; the leading replica writes it`,
      );
    }
    return readCertificates(textAt(map, 'data', 'root-cert.pem'));
  };
  return {
    name: 'weft-identity',
    checks: [
      {
        description: 'mesh root is within its validity',
        hint: 'root-valid',
        retry: true,
        run: async () => rootIsValid(await roots(), nowMs()),
      },
      {
        description: 'mesh root is valid for at least 60 days',
        hint: 'root-lives-on',
        warning: true,
        run: async () => rootLivesOn(await roots(), nowMs()),
      },
    ],
  };
}

function version({ cluster, installation }: ClusterCheckOptions): CheckCategory {
  return {
    name: 'weft-version',
    checks: [
      {
        description: 'control plane and command line are of one version',
        hint: 'versions-match',
        warning: true,
        run: async () => {
          const deployment = await cluster.get(DEPLOYMENTS, installation.namespace, CONTROL_PLANE);
          const label = textAt(deployment, 'metadata', 'labels', 'app.kubernetes.io/version');
          return label === installation.version
            ? OK
            : failed(
                `the control plane is of version ${label || 'unknown'}, this is ${installation.version}`,
              );
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
  const found = await cluster.get(DEFINITIONS, '', name);
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
  const map = await cluster.get(CONFIG_MAPS, namespace, ROOT_CONFIG);
  if (map === null) return null;
  return readCertificates(textAt(map, 'data', 'root-cert.pem')).map((each) => each.fingerprint256);
}

function ours({ metadata }: KubernetesObject): boolean {
  return metadata.labels?.['app.kubernetes.io/part-of'] === 'weft';
}

function clusterObjectName(installation: Installation, base: string): string {
  return installation.namespace === 'weft-system' ? base : `${base}-${installation.namespace}`;
}

const DEPLOYMENTS: ResourceType = {
  group: 'apps',
  version: 'v1',
  plural: 'deployments',
  kind: 'Deployment',
  namespaced: true,
};
const DEFINITIONS: ResourceType = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  namespaced: false,
};

/** Where the API server keeps what an installation is made of. */
function typeOf({ apiVersion, kind, metadata }: Manifest): ResourceType {
  const slash = apiVersion.indexOf('/');
  const lower = kind.toLowerCase();
  return {
    group: slash < 0 ? '' : apiVersion.slice(0, slash),
    version: apiVersion.slice(slash + 1),
    plural: lower.endsWith('y') ? `${lower.slice(0, -1)}ies` : `${lower}s`,
    kind,
    namespaced: metadata.namespace !== undefined,
  };
}
