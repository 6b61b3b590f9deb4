import {
  CONTROL_PLANE,
  PORT_MONITORING,
  PORT_WEBHOOKS,
  PORT_XDS,
} from '../../control-plane/kubernetes/own-objects.ts';
import { type Installation, labels, type Manifest, SELECTOR } from './installation.ts';

/**
 * What may reach the control plane: sidecars of any namespace and scrapers, on their ports alone; the API server, which is no
 * pod, on the webhook port. Egress is left open: the API server's address is not known here.
 */
export function networkPolicyManifests(installation: Installation): Manifest[] {
  if (!installation.values.networkPolicy.enabled) return [];
  const port = (number: number) => ({ port: number, protocol: 'TCP' });
  return [
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: {
        name: CONTROL_PLANE,
        namespace: installation.namespace,
        labels: labels(installation, SELECTOR),
      },
      spec: {
        podSelector: { matchLabels: SELECTOR },
        policyTypes: ['Ingress'],
        ingress: [
          { from: [{ namespaceSelector: {} }], ports: [port(PORT_XDS), port(PORT_MONITORING)] },
          { ports: [port(PORT_WEBHOOKS)] },
        ],
      },
    },
  ];
}
