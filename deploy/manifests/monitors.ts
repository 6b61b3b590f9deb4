import { CONTROL_PLANE } from '../../control-plane/kubernetes/own-objects.ts';
import { type Installation, labels, type Manifest, SELECTOR } from './installation.ts';

/** monitoring.coreos.com/v1: how a Prometheus of the operator finds the control plane and every sidecar. */
export function monitorManifests(installation: Installation): Manifest[] {
  const { serviceMonitor, podMonitor } = installation.values.monitoring;
  return [
    ...(serviceMonitor.enabled
      ? [
          {
            apiVersion: 'monitoring.coreos.com/v1',
            kind: 'ServiceMonitor',
            metadata: {
              name: CONTROL_PLANE,
              namespace: installation.namespace,
              labels: { ...serviceMonitor.labels, ...labels(installation) },
            },
            spec: {
              selector: { matchLabels: SELECTOR },
              endpoints: [{ port: 'http-monitoring', interval: serviceMonitor.interval }],
            },
          },
        ]
      : []),
    ...(podMonitor.enabled
      ? [
          {
            apiVersion: 'monitoring.coreos.com/v1',
            kind: 'PodMonitor',
            metadata: {
              name: 'weft-sidecars',
              namespace: installation.namespace,
              labels: { ...podMonitor.labels, ...labels(installation) },
            },
            spec: {
              namespaceSelector: { any: true },
              // A label that injection puts on every pod with a sidecar.
              selector: { matchLabels: { 'security.istio.io/tlsMode': 'istio' } },
              podMetricsEndpoints: [
                {
                  port: 'http-envoy-prom',
                  path: '/stats/prometheus',
                  interval: podMonitor.interval,
                },
              ],
            },
          },
        ]
      : []),
  ];
}
