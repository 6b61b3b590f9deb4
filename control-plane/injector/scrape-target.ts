import type { AnnotationValue } from './annotation-value.ts';

/** One place where the app shows metrics. */
export interface ScrapeTarget {
  readonly port: string;
  readonly path: string;
}

/** Ports of the sidecar that hold no metrics of an app, with what they are for. */
export const RESERVED_PORTS: ReadonlyMap<number, string> = new Map([
  [15_000, "the sidecar's admin port"],
  [15_001, 'outbound traffic'],
  [15_002, 'the self-check of redirection'],
  [15_004, 'debugging of the sidecar'],
  [15_006, 'inbound traffic'],
  [15_008, 'tunnels of the mesh'],
  [15_020, "the sidecar's status and merged metrics"],
  [15_021, "the sidecar's health"],
  [15_053, "the sidecar's DNS"],
  [15_090, "the sidecar's own metrics, which are merged already"],
]);

/** A port that the status server may have; 0 = there is none. */
export function isStatusPort(port: number): boolean {
  if (!Number.isInteger(port) || port < 0 || port > 65_535) return false;
  return port === 15_020 || !RESERVED_PORTS.has(port);
}

/** `status.sidecar.istio.io/port`. */
export function readStatusPort(text: string): AnnotationValue<number> {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : -1;
  if (isStatusPort(port)) return { value: port };
  return {
    wanted: 'a port from 1 to 65535 that the sidecar does not have otherwise, or 0 for none',
  };
}

const TARGETS_MAX = 16;

/** `8080:/metrics,9090`: ports, each with a path or `/metrics` (OB-05). */
export function readScrapeTargets(text: string): AnnotationValue<readonly ScrapeTarget[]> {
  const targets: ScrapeTarget[] = [];
  const items = text.split(',').map((item) => item.trim());
  if (items.length > TARGETS_MAX) return { wanted: `at most ${TARGETS_MAX} targets` };
  for (const item of items) {
    const [, port, path = '/metrics'] = /^(\d{1,5})(?::(\/[^\s,]*))?$/.exec(item) ?? [];
    if (port === undefined || +port < 1 || +port > 65_535) {
      return { wanted: 'ports with paths such as 8080:/metrics,9090' };
    }
    const reserved = RESERVED_PORTS.get(Number(port));
    if (reserved !== undefined) return { wanted: `ports of the app; ${port} is ${reserved}` };
    targets.push({ port, path });
  }
  return { value: targets };
}
