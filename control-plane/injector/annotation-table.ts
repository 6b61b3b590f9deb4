import {
  readAllOrCidrs,
  readAllOrPorts,
  readBoolean,
  readCidrs,
  readImage,
  readInteger,
  readInterfaces,
  readOneOf,
  readPorts,
  readQuantity,
} from './annotation-value.ts';
import { readProxyConfig } from './proxy-config.ts';
import { readScrapeTargets, readStatusPort } from './scrape-target.ts';
import { readUserVolumeMounts, readUserVolumes } from './user-volume.ts';

/**
 * The annotations that a pod may use, by Istio's group and name: `sidecar/proxyCPU` is `sidecar.istio.io/proxyCPU` or
 * `sidecar.weft.dev/proxyCPU`, ours before Istio's. Everything else in these groups is refused or warned of
 * (`UNSUPPORTED`), never ignored: threat A8.8. docs/injection.md has the same table.
 */
export const ANNOTATIONS = {
  'sidecar/interceptionMode': readOneOf('REDIRECT', 'NONE'),
  'sidecar/proxyCPU': readQuantity,
  'sidecar/proxyCPULimit': readQuantity,
  'sidecar/proxyMemory': readQuantity,
  'sidecar/proxyMemoryLimit': readQuantity,
  'sidecar/proxyImage': readImage,
  'sidecar/logLevel': readOneOf('trace', 'debug', 'info', 'warning', 'error', 'critical', 'off'),
  'sidecar/userVolume': readUserVolumes,
  'sidecar/userVolumeMount': readUserVolumeMounts,
  'sidecar/rewriteAppHTTPProbers': readBoolean,
  'sidecar/nativeSidecar': readBoolean,
  'traffic.sidecar/includeInboundPorts': readAllOrPorts,
  'traffic.sidecar/excludeInboundPorts': readPorts,
  'traffic.sidecar/includeOutboundPorts': readPorts,
  'traffic.sidecar/excludeOutboundPorts': readPorts,
  'traffic.sidecar/includeOutboundIPRanges': readAllOrCidrs,
  'traffic.sidecar/excludeOutboundIPRanges': readCidrs,
  'traffic.sidecar/excludeInterfaces': readInterfaces,
  'traffic.sidecar/kubevirtInterfaces': readInterfaces,
  'status.sidecar/port': readStatusPort,
  'readiness.status.sidecar/initialDelaySeconds': readInteger(0, 86_400),
  'readiness.status.sidecar/periodSeconds': readInteger(1, 86_400),
  'readiness.status.sidecar/failureThreshold': readInteger(1, 1000),
  'proxy/config': readProxyConfig,
  'prometheus/merge-metrics': readBoolean,
  'prometheus/scrape-targets': readScrapeTargets,
  'inject/templates': readOneOf('sidecar'),
} as const;

/** By Istio's name: `sidecar.istio.io/proxyCPU`. */
export function isKnownAnnotation(name: string): boolean {
  const short = name.replace('.istio.io/', '/');
  return Object.hasOwn(ANNOTATIONS, short) || Object.hasOwn(UNSUPPORTED, short);
}

export type AnnotationName = keyof typeof ANNOTATIONS;

export type AnnotationValues = {
  -readonly [Name in AnnotationName]?: Extract<
    ReturnType<(typeof ANNOTATIONS)[Name]>,
    { value: unknown }
  >['value'];
};

/**
 * What Istio knows and Weft does not: refused where the pod would behave otherwise than it asks for, warned of where only
 * diagnostics differ.
 */
export const UNSUPPORTED: Readonly<Record<string, { refused: boolean; reason: string }>> = {
  'sidecar/bootstrapOverride': refused('a sidecar takes its configuration from the control plane'),
  'sidecar/discoveryAddress': refused('the address of the control plane is a setting of the mesh'),
  'sidecar/capNetBindService': refused('the sidecar runs without capabilities'),
  'sidecar/enableCoreDump': refused('the sidecar writes no core files'),
  'sidecar/proxyImageType': refused(
    'there is one image; sidecar.weft.dev/proxyImage names another',
  ),
  'proxy/overrides': refused('the pod was injected by Istio; remove what it added'),
  'sidecar/componentLogLevel': warned('the sidecar has one level, sidecar.weft.dev/logLevel'),
  'sidecar/agentLogLevel': warned('the sidecar is one process; sidecar.weft.dev/logLevel sets it'),
  'sidecar/controlPlaneAuthPolicy': warned('the control plane always has mutual TLS'),
  'sidecar/statsInclusionPrefixes': warned('all statistics are kept'),
  'sidecar/statsInclusionSuffixes': warned('all statistics are kept'),
  'sidecar/statsInclusionRegexps': warned('all statistics are kept'),
  'sidecar/extraStatTags': warned("the labels of the metrics are Istio's standard ones"),
  'sidecar/statsHistogramBuckets': warned("the buckets of the metrics are Istio's standard ones"),
  'sidecar/statsCompression': warned('statistics are sent as the client accepts them'),
  'readiness.status.sidecar/applicationPorts': warned('Istio gave it up; readiness needs no ports'),
};

/** Read elsewhere: by `policy.ts` and by the injector's own book-keeping. */
export const OTHER_ANNOTATIONS: readonly string[] = ['sidecar/inject', 'sidecar/status'];

/** The groups that are the injector's own; an unknown name in one is a mistake. */
export const GROUPS: readonly string[] = [
  'sidecar',
  'traffic.sidecar',
  'status.sidecar',
  'readiness.status.sidecar',
  'proxy',
  'prometheus',
  'inject',
];

function refused(reason: string) {
  return { refused: true, reason };
}

function warned(reason: string) {
  return { refused: false, reason };
}
