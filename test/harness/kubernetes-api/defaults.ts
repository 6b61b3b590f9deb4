import { randomUUID } from 'node:crypto';
import type { KubernetesObject } from '../../../control-plane/kubernetes/kubernetes-object.ts';
import { type Fields, isFields, list, object, text } from './fields.ts';
import type { ServedKind } from './served-kind.ts';

/** Gives out cluster addresses. */
export class ClusterAddresses {
  #next = 1;

  next(): string {
    this.#next++;
    return `10.96.${this.#next >> 8}.${this.#next & 255}`;
  }
}

/** What the API server fills in as an object of a built-in kind is created. */
export function withBuiltInDefaults(
  kind: ServedKind,
  made: KubernetesObject,
  addresses: ClusterAddresses,
): KubernetesObject {
  const fields = made as unknown as Fields;
  const spec = object(fields, 'spec');
  switch (`${kind.group}/${kind.kind}`) {
    case '/Namespace':
      return {
        ...made,
        metadata: {
          ...made.metadata,
          labels: { ...made.metadata.labels, 'kubernetes.io/metadata.name': made.metadata.name },
        },
        spec: { finalizers: ['kubernetes'] },
        status: { phase: 'Active' },
      };
    case '/Pod':
      return {
        ...made,
        spec: {
          restartPolicy: 'Always',
          dnsPolicy: 'ClusterFirst',
          serviceAccountName: 'default',
          ...spec,
        },
        status: { phase: 'Pending', ...object(fields, 'status') },
      };
    case '/Service':
      return {
        ...made,
        spec: serviceSpec(spec, addresses),
        status: { loadBalancer: {}, ...object(fields, 'status') },
      };
    case 'apps/Deployment':
    case 'apps/StatefulSet':
    case 'apps/ReplicaSet':
      return { ...made, spec: { replicas: 1, ...spec }, status: object(fields, 'status') };
    case 'apiextensions.k8s.io/CustomResourceDefinition':
      return {
        ...made,
        status: {
          acceptedNames: spec['names'],
          storedVersions: list(spec, 'versions')
            .filter(isFields)
            .filter((version) => version['storage'] === true)
            .map((version) => version['name']),
          conditions: ['NamesAccepted', 'Established'].map((type) => ({
            type,
            status: 'True',
            reason: type === 'Established' ? 'InitialNamesAccepted' : 'NoConflicts',
            message: '',
            lastTransitionTime: timestamp(),
          })),
        },
      };
    default:
      return made;
  }
}

function serviceSpec(spec: Fields, addresses: ClusterAddresses): Fields {
  const type = text(spec, 'type') || 'ClusterIP';
  const ports = list(spec, 'ports')
    .filter(isFields)
    .map((port) => ({ protocol: 'TCP', targetPort: port['port'], ...port }));
  const common = { sessionAffinity: 'None', ...spec, type, ...(ports.length > 0 && { ports }) };
  if (type === 'ExternalName') return common;
  const clusterIP = text(spec, 'clusterIP') || addresses.next();
  return {
    ipFamilies: ['IPv4'],
    ipFamilyPolicy: 'SingleStack',
    internalTrafficPolicy: 'Cluster',
    clusterIPs: [clusterIP],
    ...common,
    clusterIP,
  };
}

/** Metadata of an object that is created now. */
export function newMetadata(
  metadata: KubernetesObject['metadata'],
  namespace: string,
): KubernetesObject['metadata'] {
  const { name, generateName } = metadata as { name?: string; generateName?: unknown };
  return {
    ...metadata,
    name:
      name !== undefined && name !== ''
        ? name
        : `${String(generateName)}${randomUUID().slice(0, 5)}`,
    ...(namespace !== '' && { namespace }),
    uid: randomUUID(),
    creationTimestamp: timestamp(),
    generation: 1,
  };
}

/** RFC 3339, whole seconds. */
export function timestamp(): string {
  return `${new Date().toISOString().slice(0, 19)}Z`;
}
