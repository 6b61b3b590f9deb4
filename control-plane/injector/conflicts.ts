import { type Container, type ContainerPort, mapOf, type Pod, type PodProblem } from './pod.ts';
import { RESERVED_PORTS } from './scrape-target.ts';

/** Names of what is added; `istio-proxy` with image `auto` is taken for our container (KI-07). */
export const PROXY_CONTAINER = 'weft-proxy';
export const INIT_CONTAINER = 'weft-init';
/** The sidecar's user and group, which redirection leaves alone. */
export const PROXY_UID = 1337;

/** A mesh that has injected the pod already: two sidecars would redirect each other's traffic. */
export function otherMesh({ metadata, spec }: Pod): string | undefined {
  const containers = [...spec.containers, ...(spec.initContainers ?? [])];
  for (const { name, image } of containers) {
    if (name === 'istio-proxy' && image !== 'auto') return 'pod has the sidecar of Istio';
    if (name === 'istio-init' || name === 'istio-validation') return 'pod was injected by Istio';
    if (name === 'linkerd-proxy' || name === 'linkerd-init') {
      return 'pod has the sidecar of Linkerd';
    }
    if (name === 'kuma-sidecar') return 'pod has the sidecar of Kuma';
    if (name === 'consul-dataplane' || name === 'envoy-sidecar') {
      return 'pod has the sidecar of Consul';
    }
  }
  const annotations = metadata?.annotations ?? {};
  return Object.hasOwn(annotations, 'sidecar.istio.io/status')
    ? 'pod was injected by Istio'
    : undefined;
}

/** What of the pod cannot live beside a sidecar. `pod` holds nothing injected. */
export function findConflicts(
  pod: Pod,
  volumes: readonly string[],
  statusPort: number,
): PodProblem[] {
  const problems: PodProblem[] = [];
  const { spec } = pod;
  const podContext = mapOf(spec.securityContext);
  const lists = [
    ['containers', spec.containers],
    ['initContainers', spec.initContainers ?? []],
  ] as const;
  for (const [list, containers] of lists) {
    for (const [index, container] of containers.entries()) {
      const path = ['spec', list, index];
      if (isProxy(container)) continue;
      if (container.name === INIT_CONTAINER) {
        const message = `"${INIT_CONTAINER}" is the name of the container that sets redirection up; name yours otherwise`;
        problems.push({ path: [...path, 'name'], message });
      }
      // An init container that runs once may need to go around the mesh: Istio's users know that trick.
      if (list === 'initContainers' && container.restartPolicy !== 'Always') continue;
      for (const [field, word] of [
        ['runAsUser', 'user'],
        ['runAsGroup', 'group'],
      ] as const) {
        if ((mapOf(container.securityContext)[field] ?? podContext[field]) !== PROXY_UID) continue;
        const message = `container "${container.name}" runs as ${word} ${PROXY_UID}, which is the sidecar's own: its traffic would go around the mesh; use another ${word}`;
        problems.push({ path: [...path, 'securityContext', field], message });
      }
      for (const [at, port] of (container.ports ?? []).entries()) {
        const reserved = takenBy(port, statusPort);
        if (reserved === undefined) continue;
        const message = `container "${container.name}" listens on ${port.containerPort}, which is for ${reserved}; use another port`;
        problems.push({ path: [...path, 'ports', at, 'containerPort'], message });
      }
    }
  }
  const twice = volumes.find((name, index) => volumes.indexOf(name) !== index);
  if (twice !== undefined) {
    const message = `names the volume "${twice}" that injection adds as well, or twice`;
    problems.push({ path: ['metadata', 'annotations', 'sidecar.istio.io/userVolume'], message });
  }
  for (const [index, { name }] of (spec.volumes ?? []).entries()) {
    if (!volumes.includes(name)) continue;
    const message = `"${name}" is the name of a volume that injection adds; name yours otherwise`;
    problems.push({ path: ['spec', 'volumes', index, 'name'], message });
  }
  return problems;
}

/** What the sidecar has a port of the app for. Of UDP it has only DNS. */
function takenBy({ containerPort, protocol }: ContainerPort, statusPort: number) {
  if (protocol === 'UDP' || protocol === 'SCTP') {
    return protocol === 'UDP' && containerPort === 15_053
      ? RESERVED_PORTS.get(containerPort)
      : undefined;
  }
  if (containerPort === statusPort) return RESERVED_PORTS.get(15_020);
  return RESERVED_PORTS.get(containerPort);
}

/** The author's own settings for the sidecar, to be merged over ours. */
export function isProxy({ name, image }: Container): boolean {
  return name === PROXY_CONTAINER || (name === 'istio-proxy' && image === 'auto');
}
