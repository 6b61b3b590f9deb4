import type { Fields } from '../kinds/schema.ts';
import type { AnnotationValues } from './annotation-table.ts';
import type { InjectionSettings } from './settings.ts';

/** What one pod's sidecar shall be: the settings of the mesh, and what the pod's annotations say before them. */
export interface PodOptions {
  readonly image: string;
  readonly imagePullPolicy: string | undefined;
  readonly native: boolean;
  /** Only without `native`. */
  readonly hold: boolean;
  readonly interceptionMode: 'REDIRECT' | 'NONE';
  readonly dnsCapture: boolean;
  readonly rewriteProbes: boolean;
  readonly mergePrometheus: boolean;
  /** 0 = none: no readiness probe, no merge, no rewriting. */
  readonly statusPort: number;
  readonly logLevel: string;
  readonly drainSeconds: number;
  readonly readiness: {
    readonly initialDelaySeconds: number;
    readonly periodSeconds: number;
    readonly failureThreshold: number;
  };
  readonly resources: Fields;
  readonly traffic: {
    readonly includeInboundPorts: string;
    readonly excludeInboundPorts: string;
    readonly includeOutboundPorts: string;
    readonly excludeOutboundPorts: string;
    readonly includeOutboundIpRanges: string;
    readonly excludeOutboundIpRanges: string;
    readonly excludeInterfaces: string;
    readonly kubevirtInterfaces: string;
  };
  /** Further environment; the pod's `proxyMetadata` before the settings'. */
  readonly env: Readonly<Record<string, string>>;
}

export function podOptions(values: AnnotationValues, settings: InjectionSettings): PodOptions {
  const config = values['proxy/config'] ?? {};
  const env = { ...settings.env, ...config.proxyMetadata };
  const statusPort = values['status.sidecar/port'] ?? config.statusPort ?? settings.statusPort;
  return {
    image: values['sidecar/proxyImage'] ?? settings.image,
    imagePullPolicy: settings.imagePullPolicy,
    native: values['sidecar/nativeSidecar'] ?? settings.nativeSidecar,
    hold: config.holdApplicationUntilProxyStarts ?? settings.holdApplicationUntilProxyStarts,
    interceptionMode:
      values['sidecar/interceptionMode'] ?? config.interceptionMode ?? settings.interceptionMode,
    dnsCapture: capturesDns(env['ISTIO_META_DNS_CAPTURE']) ?? settings.dnsCapture,
    rewriteProbes:
      statusPort !== 0 && (values['sidecar/rewriteAppHTTPProbers'] ?? settings.rewriteAppProbes),
    mergePrometheus:
      statusPort !== 0 && (values['prometheus/merge-metrics'] ?? settings.mergePrometheus),
    statusPort,
    logLevel: values['sidecar/logLevel'] ?? settings.logLevel,
    drainSeconds: config.terminationDrainSeconds ?? settings.terminationDrainSeconds,
    readiness: {
      initialDelaySeconds:
        values['readiness.status.sidecar/initialDelaySeconds'] ??
        settings.readinessInitialDelaySeconds,
      periodSeconds:
        values['readiness.status.sidecar/periodSeconds'] ?? settings.readinessPeriodSeconds,
      failureThreshold:
        values['readiness.status.sidecar/failureThreshold'] ?? settings.readinessFailureThreshold,
    },
    resources: resourcesOf(values, settings),
    traffic: {
      includeInboundPorts:
        values['traffic.sidecar/includeInboundPorts'] ?? settings.includeInboundPorts,
      excludeInboundPorts:
        values['traffic.sidecar/excludeInboundPorts'] ?? settings.excludeInboundPorts,
      includeOutboundPorts:
        values['traffic.sidecar/includeOutboundPorts'] ?? settings.includeOutboundPorts,
      excludeOutboundPorts:
        values['traffic.sidecar/excludeOutboundPorts'] ?? settings.excludeOutboundPorts,
      includeOutboundIpRanges:
        values['traffic.sidecar/includeOutboundIPRanges'] ?? settings.includeOutboundIpRanges,
      excludeOutboundIpRanges:
        values['traffic.sidecar/excludeOutboundIPRanges'] ?? settings.excludeOutboundIpRanges,
      excludeInterfaces: values['traffic.sidecar/excludeInterfaces'] ?? '',
      kubevirtInterfaces: values['traffic.sidecar/kubevirtInterfaces'] ?? '',
    },
    env,
  };
}

/** As the sidecar reads the variable; undefined = it says nothing. */
function capturesDns(text = ''): boolean | undefined {
  return text === '' ? undefined : /^(true|1)$/i.test(text);
}

/** As in Istio: a pod that says one amount says all of them; the defaults would contradict it (a request over its limit). */
function resourcesOf(values: AnnotationValues, settings: InjectionSettings): Fields {
  const requests = amounts(values['sidecar/proxyCPU'], values['sidecar/proxyMemory']);
  const limits = amounts(values['sidecar/proxyCPULimit'], values['sidecar/proxyMemoryLimit']);
  const own = { ...(requests && { requests }), ...(limits && { limits }) };
  return Object.keys(own).length > 0 ? own : structuredClone(settings.resources);
}

function amounts(cpu: string | undefined, memory: string | undefined): Fields | undefined {
  if (cpu === undefined && memory === undefined) return undefined;
  return { ...(cpu !== undefined && { cpu }), ...(memory !== undefined && { memory }) };
}
