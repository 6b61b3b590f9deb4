import {
  CONTROL_PLANE,
  PORT_MONITORING,
  PORT_WEBHOOKS,
  PORT_XDS,
} from '../../control-plane/kubernetes/own-objects.ts';
import {
  INJECTION_CONFIG,
  type Installation,
  imageName,
  labels,
  type Manifest,
  PORT_WEBHOOK_SERVICE,
  SELECTOR,
} from './installation.ts';
import type { ResourceValues } from './values.ts';

/** UID and GID of every Weft process (KI-02): in the image, too. */
const USER = 1337;
const NODE = '/usr/local/bin/node';
const DATA = '/var/lib/weft';
const INJECTION = '/etc/weft/injection';

/** The control plane's own objects, in the order in which they are needed. */
export function controlPlaneManifests(installation: Installation): Manifest[] {
  const { values } = installation;
  const budget = values.controlPlane.podDisruptionBudget;
  return [
    serviceAccount(installation),
    injectionSettings(installation),
    service(installation),
    deployment(installation),
    ...(budget.enabled && values.controlPlane.replicas > 1 ? [disruptionBudget(installation)] : []),
  ];
}

function serviceAccount(installation: Installation): Manifest {
  const { pullSecrets } = installation.values.image;
  return {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: metadata(installation),
    ...(pullSecrets.length > 0 && { imagePullSecrets: pullSecrets.map((name) => ({ name })) }),
  };
}

/** `weft control-plane --injection-settings` reads it, again when it changes. */
function injectionSettings(installation: Installation): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { ...metadata(installation), name: INJECTION_CONFIG },
    data: { 'settings.json': `${JSON.stringify(settings(installation), null, 2)}\n` },
  };
}

/** InjectionSettings of `control-plane/injector/`. */
export function settings({ values, namespace }: Installation): object {
  return {
    ...values.injection,
    image: imageName(values.image),
    imagePullPolicy: values.image.pullPolicy,
    controlPlane: `${CONTROL_PLANE}.${namespace}.svc:${PORT_XDS}`,
    trustDomain: values.mesh.trustDomain,
  };
}

function service(installation: Installation): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadata(installation),
    spec: {
      selector: SELECTOR,
      ports: [
        { name: 'grpc-xds', port: PORT_XDS, targetPort: 'grpc-xds', protocol: 'TCP' },
        {
          name: 'https-webhook',
          port: PORT_WEBHOOK_SERVICE,
          targetPort: 'https-webhook',
          protocol: 'TCP',
        },
        {
          name: 'http-monitoring',
          port: PORT_MONITORING,
          targetPort: 'http-monitoring',
          protocol: 'TCP',
        },
      ],
    },
  };
}

function deployment(installation: Installation): Manifest {
  const { values } = installation;
  const { controlPlane } = values;
  const podLabels = {
    ...controlPlane.podLabels,
    ...labels(installation, SELECTOR),
    'sidecar.istio.io/inject': 'false',
  };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: metadata(installation),
    spec: {
      replicas: controlPlane.replicas,
      selector: { matchLabels: SELECTOR },
      // Make before break: sidecars move to a replica that is ready.
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: {
        metadata: {
          labels: podLabels,
          annotations: { ...controlPlane.podAnnotations, ...SCRAPED },
        },
        spec: {
          serviceAccountName: CONTROL_PLANE,
          securityContext: {
            runAsNonRoot: true,
            runAsUser: USER,
            runAsGroup: USER,
            fsGroup: USER,
            seccompProfile: { type: 'RuntimeDefault' },
          },
          ...(controlPlane.priorityClassName !== '' && {
            priorityClassName: controlPlane.priorityClassName,
          }),
          ...affinity(controlPlane.antiAffinity),
          ...(Object.keys(controlPlane.nodeSelector).length > 0 && {
            nodeSelector: controlPlane.nodeSelector,
          }),
          ...(controlPlane.tolerations.length > 0 && { tolerations: controlPlane.tolerations }),
          terminationGracePeriodSeconds: 30,
          containers: [container(installation)],
          volumes: [
            { name: 'data', emptyDir: { sizeLimit: '256Mi' } },
            { name: 'injection', configMap: { name: INJECTION_CONFIG } },
          ],
        },
      },
    },
  };
}

const SCRAPED = {
  'prometheus.io/scrape': 'true',
  'prometheus.io/port': String(PORT_MONITORING),
};

function container(installation: Installation): object {
  const { values } = installation;
  const probe = (path: string) => ({ httpGet: { path, port: 'http-monitoring' } });
  return {
    name: 'control-plane',
    image: imageName(values.image),
    imagePullPolicy: values.image.pullPolicy,
    args: ['control-plane', ...flags(installation)],
    env: [
      { name: 'WEFT_POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
      { name: 'WEFT_POD_NAMESPACE', valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } },
    ],
    ports: [
      { name: 'grpc-xds', containerPort: PORT_XDS, protocol: 'TCP' },
      { name: 'http-monitoring', containerPort: PORT_MONITORING, protocol: 'TCP' },
      { name: 'https-webhook', containerPort: PORT_WEBHOOKS, protocol: 'TCP' },
    ],
    startupProbe: { ...probe('/healthz'), periodSeconds: 1, failureThreshold: 60 },
    readinessProbe: { ...probe('/ready'), periodSeconds: 3, timeoutSeconds: 5 },
    livenessProbe: {
      ...probe('/healthz'),
      periodSeconds: 10,
      timeoutSeconds: 5,
      failureThreshold: 6,
    },
    // The API server and sidecars hear that this one goes before it does. There is no shell in the image.
    lifecycle: { preStop: { exec: { command: [NODE, '-e', 'setTimeout(() => {}, 5000)'] } } },
    ...resources(values.controlPlane.resources),
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    volumeMounts: [
      { name: 'data', mountPath: DATA },
      { name: 'injection', mountPath: INJECTION, readOnly: true },
    ],
  };
}

function flags({ values }: Installation): string[] {
  const { mesh, controlPlane, webhooks } = values;
  const hasWebhooks = webhooks.injection.enabled || webhooks.validation.enabled;
  return [
    `--data=${DATA}`,
    '--kubernetes',
    '--store=kubernetes',
    `--xds=0.0.0.0:${PORT_XDS}`,
    `--monitoring=0.0.0.0:${PORT_MONITORING}`,
    ...(hasWebhooks
      ? [`--webhooks=0.0.0.0:${PORT_WEBHOOKS}`, `--injection-settings=${INJECTION}/settings.json`]
      : []),
    `--trust-domain=${mesh.trustDomain}`,
    `--cluster-domain=${mesh.clusterDomain}`,
    `--root-namespace=${mesh.rootNamespace}`,
    `--outbound-traffic-policy=${mesh.outboundTrafficPolicy}`,
    ...(mesh.accessLog === ''
      ? []
      : [`--access-log=${mesh.accessLog}`, `--access-log-encoding=${mesh.accessLogEncoding}`]),
    `--log-level=${controlPlane.logLevel}`,
    ...controlPlane.extraArgs,
  ];
}

function affinity(kind: 'preferred' | 'required' | 'none'): object {
  if (kind === 'none') return {};
  const term = { labelSelector: { matchLabels: SELECTOR }, topologyKey: 'kubernetes.io/hostname' };
  const podAntiAffinity =
    kind === 'required'
      ? { requiredDuringSchedulingIgnoredDuringExecution: [term] }
      : {
          preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, podAffinityTerm: term }],
        };
  return { affinity: { podAntiAffinity } };
}

function resources({ requests, limits }: ResourceValues): object {
  const filled = Object.entries({ requests, limits }).filter(
    ([, each]) => Object.keys(each).length > 0,
  );
  return filled.length === 0 ? {} : { resources: Object.fromEntries(filled) };
}

function disruptionBudget(installation: Installation): Manifest {
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: metadata(installation),
    spec: {
      minAvailable: installation.values.controlPlane.podDisruptionBudget.minAvailable,
      selector: { matchLabels: SELECTOR },
    },
  };
}

function metadata(installation: Installation) {
  return {
    name: CONTROL_PLANE,
    namespace: installation.namespace,
    labels: labels(installation, SELECTOR),
  };
}
