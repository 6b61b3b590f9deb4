import type { KubernetesObject } from '../../control-plane/kubernetes/kubernetes-object.ts';
import { CONTROL_PLANE, ROOT_CONFIG_MAP } from '../../control-plane/kubernetes/own-objects.ts';
import {
  CONFIG_MAPS,
  DEPLOYMENTS,
  MUTATING_WEBHOOKS,
  type ResourceType,
} from '../../control-plane/kubernetes/resource-type.ts';
import type { Installation } from '../../deploy/manifests/installation.ts';
import { manifests } from '../../deploy/manifests/manifests.ts';
import { type Check, type CheckCategory, failed, OK, okUnless } from './check.ts';
import { type Cluster, textAt } from './cluster.ts';
import { dataPlaneChecks } from './data-plane-checks.ts';
import { configuration, existence } from './installation-checks.ts';
import { typeOf } from './manifest-type.ts';
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

function identity({ cluster, installation, nowMs }: ClusterCheckOptions): CheckCategory {
  const roots = async () => {
    const map = await cluster.get(CONFIG_MAPS, installation.namespace, ROOT_CONFIG_MAP);
    if (map === null) {
      throw new Error(
        `ConfigMap ${installation.namespace}/${ROOT_CONFIG_MAP} is missing; the leading replica writes it`,
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

function ours({ metadata }: KubernetesObject): boolean {
  return metadata.labels?.['app.kubernetes.io/part-of'] === 'weft';
}
