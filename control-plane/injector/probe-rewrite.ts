import type { Fields } from '../kinds/schema.ts';
import { canonicalJson } from './canonical-json.ts';
import { type Container, isMap, mapOf, type Pod } from './pod.ts';

/** What rewriting found: the table for the sidecar, and what stood before, by container and probe. */
export interface RewrittenProbes {
  /** `ISTIO_KUBE_APP_PROBERS`, or '' where nothing was rewritten. */
  readonly probers: string;
  readonly originals: Readonly<Record<string, Record<string, Fields>>>;
  readonly warnings: readonly string[];
}

const PROBES = { livenessProbe: 'livez', readinessProbe: 'readyz', startupProbe: 'startupz' };
const HOOKS = { postStart: 'poststartz', preStop: 'prestopz' };
const HANDLERS = ['httpGet', 'tcpSocket', 'grpc'] as const;

/**
 * Makes the app's http, tcp and grpc probes and http and tcp hooks requests to the sidecar's status port, which asks the
 * app from inside of the pod: the kubelet has no certificate, and a redirected port would always accept (KI-05). Changes
 * `pod`. Native sidecars of the app's own have probes as well. Left alone: `exec`; a probe with a `host`, which is for
 * another machine; a probe whose named port does not exist, which fails with or without a sidecar.
 */
export function rewriteProbes(pod: Pod, statusPort: number, proxyName: string): RewrittenProbes {
  const probers = new Map<string, Fields>();
  const originals: Record<string, Record<string, Fields>> = Object.create(null);
  const warnings: string[] = [];
  const longRunning = (pod.spec.initContainers ?? []).filter(
    ({ restartPolicy }) => restartPolicy === 'Always',
  );
  for (const container of [...pod.spec.containers, ...longRunning]) {
    if (container.name === proxyName) continue;
    const take = (place: string, handlerOf: Fields, path: string, timeoutSeconds: unknown) => {
      const original = handlerIn(handlerOf);
      if (original === undefined) return;
      const resolved = resolvePort(original, container);
      if (typeof resolved === 'string') {
        warnings.push(`container ${container.name}: ${place}: ${resolved}`);
        return;
      }
      const timeout = typeof timeoutSeconds === 'number' ? { timeoutSeconds } : {};
      probers.set(path, { ...resolved, ...timeout });
      originals[container.name] ??= Object.create(null) as Record<string, Fields>;
      originals[container.name]![place] = original;
      rewrite(handlerOf, path, statusPort);
    };
    for (const [field, word] of Object.entries(PROBES)) {
      const probe = mapOf(container[field]);
      take(field, probe, `/app-health/${container.name}/${word}`, probe['timeoutSeconds']);
    }
    for (const [field, word] of Object.entries(HOOKS)) {
      const hook = mapOf(mapOf(container.lifecycle)[field]);
      take(`lifecycle.${field}`, hook, `/app-lifecycle/${container.name}/${word}`, undefined);
    }
  }
  const text = probers.size === 0 ? '' : canonicalJson(Object.fromEntries(probers));
  return { probers: text, originals, warnings };
}

/** Puts back what `rewriteProbes` took, where the container still has what it was rewritten to. */
export function restoreProbes(
  containers: readonly Container[],
  originals: Readonly<Record<string, Record<string, Fields>>>,
): void {
  for (const container of containers) {
    if (!Object.hasOwn(originals, container.name)) continue;
    for (const [place, original] of Object.entries(originals[container.name]!)) {
      const [field, hook] = place.split('.');
      const handler = hook ? mapOf(container.lifecycle)[hook] : container[field!];
      const path = mapOf(mapOf(handler)['httpGet'])['path'];
      if (!isMap(handler) || !/^\/app-(health|lifecycle)\//.test(String(path))) continue;
      delete handler['httpGet'];
      Object.assign(handler, structuredClone(original));
    }
  }
}

/** The one handler of a probe that can be rewritten. */
function handlerIn(probe: Fields): Fields | undefined {
  const handlers = HANDLERS.filter((name) => isMap(probe[name]));
  const [name] = handlers;
  if (name === undefined || handlers.length > 1) return undefined;
  const action = probe[name] as Fields;
  if (typeof action['host'] === 'string' && action['host'] !== '') return undefined;
  return { [name]: structuredClone(action) };
}

/** The handler with its port as a number; a text says why it has none. */
function resolvePort(original: Fields, { ports }: Container): Fields | string {
  const [name, value] = Object.entries(original)[0]!;
  const action = structuredClone(value) as Fields;
  const port = action['port'];
  if (typeof port === 'number') return { [name]: action };
  if (typeof port !== 'string') return 'has no port and stays as it is';
  const found = ports?.find((candidate) => candidate.name === port)?.containerPort;
  const number = found ?? (/^\d{1,5}$/.test(port) ? Number(port) : undefined);
  if (number === undefined) return `no port of the container is named "${port}": stays as it is`;
  action['port'] = number;
  return { [name]: action };
}

/** Kubelet → HTTP → sidecar → HTTPS, TCP or gRPC → app: the headers are for the last step, and travel in the table. */
function rewrite(probe: Fields, path: string, port: number): void {
  for (const name of HANDLERS) delete probe[name];
  probe['httpGet'] = { path, port };
}
