import { z } from 'zod';
import type { FieldPath } from '../kinds/schema.ts';
import { CONTROL_PLANE, PORT_XDS, SYSTEM_NAMESPACE } from '../kubernetes/own-objects.ts';
import { isKnownAnnotation } from './annotation-table.ts';
import { isImage, isQuantity, readCidrs, readPorts } from './annotation-value.ts';
import { variableProblem } from './reserved-variables.ts';
import { isStatusPort } from './scrape-target.ts';

/**
 * What the injector puts beside an app, for the whole mesh: the offline command reads it from
 * `--injection-settings FILE`, the webhook from the ConfigMap of the installation, in this same shape.
 */
export type InjectionSettings = z.output<typeof injectionSettings>;

/** Every setting with its default; what a pod's annotations say comes before it. */
export function defaultInjectionSettings(): InjectionSettings {
  return injectionSettings.parse({});
}

export function readInjectionSettings(
  value: unknown,
): { settings: InjectionSettings } | { problems: { path: FieldPath; message: string }[] } {
  const read = injectionSettings.safeParse(value ?? {});
  if (read.success) return { settings: read.data };
  const problems = read.error.issues.map((issue) => ({
    path: issue.path.map((step) => (typeof step === 'number' ? step : String(step))),
    // Of a key the rule that it breaks says more than that it breaks one.
    message: (issue.code === 'invalid_key' && issue.issues[0]?.message) || issue.message,
  }));
  return { problems };
}

const image = z.string().refine(isImage, 'must be an image reference such as weft:1.2');
const quantity = z.string().refine(isQuantity, 'must be a quantity such as 100m or 128Mi');
const seconds = z.number().int().min(0).max(86_400);
const ports = z.string().refine((text) => 'value' in readPorts(text), 'must be ports: 80,443');
const allOrPorts = z.union([z.literal('*'), ports]);
const cidrs = z.string().refine((text) => 'value' in readCidrs(text), 'must be CIDRs: 10.0.0.0/8');
const amounts = z.strictObject({ cpu: quantity.optional(), memory: quantity.optional() });

/** Requests: an idle sidecar holds 40 MiB; CPU and limits are Istio's defaults (KI-07). */
export const PROXY_RESOURCES = {
  requests: { cpu: '100m', memory: '64Mi' },
  limits: { cpu: '2000m', memory: '1024Mi' },
};

const resources = z
  .strictObject({ requests: amounts.optional(), limits: amounts.optional() })
  .default(PROXY_RESOURCES);

const labelSelector = z.strictObject({
  matchLabels: z.record(z.string(), z.string()).optional(),
  matchExpressions: z
    .array(
      z.strictObject({
        key: z.string(),
        operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
        values: z.array(z.string()).optional(),
      }),
    )
    .optional(),
});

/** What the settings of the mesh may set beyond what its pods may: an admin port on the pod's address shows a lot. */
const MESH_VARIABLES: readonly string[] = ['WEFT_ADMIN'];

const injectionSettings = z.strictObject({
  image: image.default('weft:latest'),
  imagePullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']).optional(),
  /** Names of Secrets that each namespace must have. */
  imagePullSecrets: z.array(z.string()).default([]),
  /** xDS and certificates. */
  controlPlane: z
    .string()
    .regex(/^[^\s/]+:\d{1,5}$/, 'must be host:port')
    .default(`${CONTROL_PLANE}.${SYSTEM_NAMESPACE}.svc:${PORT_XDS}`),
  trustDomain: z.string().default('cluster.local'),
  clusterId: z.string().default('Kubernetes'),
  /** Default the trust domain. */
  meshId: z.string().optional(),
  network: z.string().optional(),
  /** The revision whose `istio.io/rev` labels are ours, and other names (tags) of it. */
  revision: z.string().default('default'),
  revisionTags: z.array(z.string()).default([]),
  /** Pods of namespaces without a label: Istio's enableNamespacesByDefault. */
  injectByDefault: z.boolean().default(false),
  neverInjectSelector: z.array(labelSelector).default([]),
  alwaysInjectSelector: z.array(labelSelector).default([]),
  /** An init container with `restartPolicy: Always`, Kubernetes 1.29 and later (KI-03). */
  nativeSidecar: z.boolean().default(true),
  /** Without native sidecars: the app's containers start when the sidecar is ready (KI-04). */
  holdApplicationUntilProxyStarts: z.boolean().default(true),
  interceptionMode: z.enum(['REDIRECT', 'NONE']).default('REDIRECT'),
  dnsCapture: z.boolean().default(false),
  rewriteAppProbes: z.boolean().default(true),
  mergePrometheus: z.boolean().default(true),
  includeInboundPorts: allOrPorts.default('*'),
  excludeInboundPorts: ports.default(''),
  /** To any address, beside the ranges. */
  includeOutboundPorts: ports.default(''),
  excludeOutboundPorts: ports.default(''),
  includeOutboundIpRanges: z.union([z.literal('*'), cidrs]).default('*'),
  excludeOutboundIpRanges: cidrs.default(''),
  logLevel: z
    .enum(['trace', 'debug', 'info', 'warning', 'error', 'critical', 'off'])
    .default('warning'),
  terminationDrainSeconds: seconds.default(5),
  /** Health, merged metrics and the app's probes; 0 = none of them. */
  statusPort: z
    .number()
    .refine(isStatusPort, 'must be a port that the sidecar does not have otherwise, or 0')
    .default(15_020),
  readinessInitialDelaySeconds: seconds.default(0),
  readinessPeriodSeconds: seconds.min(1).default(15),
  readinessFailureThreshold: z.number().int().min(1).max(1000).default(4),
  resources,
  /** Further environment of the sidecar. */
  env: z
    .record(
      z
        .string()
        .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be a variable name')
        .superRefine((name, context) => {
          const problem = MESH_VARIABLES.includes(name) ? '' : variableProblem(name);
          if (problem !== '') context.addIssue({ code: 'custom', message: problem });
        }),
      z.string(),
    )
    .default({}),
  /** Annotations that pods may not use here (threat A8.8), such as sidecar.istio.io/proxyImage; kept by Istio's name. */
  lockedAnnotations: z
    .array(
      z
        .string()
        .transform((name) => name.replace('.weft.dev/', '.istio.io/'))
        .refine(
          isKnownAnnotation,
          'is no annotation that a pod may set, such as sidecar.istio.io/proxyImage',
        ),
    )
    .default([]),
});

/** Names of all settings, for the documentation's sake. */
export const SETTING_NAMES: readonly string[] = Object.keys(injectionSettings.shape);
