import { z } from 'zod';
import { canonicalJson } from './canonical-json.ts';

/**
 * What was injected, kept in the pod so that it can be taken out again and injection is idempotent. The first names are
 * those of Istio's `sidecar.istio.io/status`.
 */
export type InjectionStatus = z.output<typeof injectionStatus>;

export const STATUS_ANNOTATION = 'sidecar.weft.dev/status';

const names = z.array(z.string().max(253)).max(1000).default([]);
const handlers = z.record(z.string(), z.record(z.string(), z.unknown()));

const injectionStatus = z.strictObject({
  revision: z.string(),
  initContainers: names,
  containers: names,
  volumes: names,
  imagePullSecrets: names,
  /** Names of what was added. */
  labels: names,
  annotations: names,
  /** Lists and maps that were there but empty. */
  empty: z
    .array(
      z.enum([
        'metadata',
        'labels',
        'annotations',
        'initContainers',
        'volumes',
        'imagePullSecrets',
      ]),
    )
    .default([]),
  /** What stood where something else stands now. */
  original: z
    .strictObject({
      annotations: z.record(z.string(), z.string()).default({}),
      /** By container, then `livenessProbe` … or `lifecycle.preStop`. */
      probes: z.record(z.string(), handlers).default({}),
      /** The author's own container for the sidecar, and where it stood. */
      container: z
        .strictObject({
          list: z.enum(['containers', 'initContainers']),
          index: z.number().int().min(0).max(10_000),
          container: z.looseObject({ name: z.string() }),
        })
        .optional(),
    })
    .default({ annotations: {}, probes: {} }),
});

/** Undefined where the text is not what `writeStatus` writes. */
export function readStatus(text: string): InjectionStatus | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const read = injectionStatus.safeParse(value);
  return read.success ? read.data : undefined;
}

/** Short: what is empty is left out. */
export function writeStatus({ original, ...status }: InjectionStatus): string {
  return canonicalJson(withoutEmpty({ ...status, original: withoutEmpty(original) }));
}

function withoutEmpty(fields: object): object {
  const full = Object.entries(fields).filter(
    ([, value]) =>
      value !== undefined && (typeof value !== 'object' || Object.keys(value).length > 0),
  );
  return Object.fromEntries(full);
}
