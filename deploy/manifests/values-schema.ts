import { PROXY_RESOURCES } from '../../control-plane/injector/settings.ts';
import { DNS_LABEL, LABEL_KEY, LABEL_VALUE } from '../../control-plane/kinds/name-format.ts';
import {
  choice,
  flag,
  integer,
  list,
  map,
  object,
  optional,
  required,
  type Schema,
  type TextFormat,
  text,
  withDefault,
} from '../../control-plane/kinds/schema.ts';
import type {
  ControlPlaneValues,
  ImageValues,
  InjectionValues,
  InstallValues,
  LabelSelector,
  MeshValues,
  MonitoringValues,
  MonitorValues,
  ResourceValues,
  Toleration,
  WebhookSwitch,
  WebhookValues,
} from './values.ts';

const QUANTITY: TextFormat = {
  name: 'quantity',
  check: (quantity) =>
    /^\d{1,12}(\.\d{1,9})?([mkMGTPE]|[KMGTPE]i)?$/.test(quantity)
      ? undefined
      : 'must be a quantity such as 100m, 0.5, 128Mi or 2',
  example: '128Mi',
};

const INTERVAL: TextFormat = {
  name: 'interval',
  check: (interval) =>
    /^[1-9]\d{0,5}(ms|s|m|h)$/.test(interval) ? undefined : 'must be a duration such as 15s',
  example: '15s',
};

const DNS_NAME: TextFormat = {
  name: 'dns-name',
  check: (name) =>
    name.length <= 253 && /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(name)
      ? undefined
      : 'must be a DNS name such as cluster.local',
};

const IMAGE: TextFormat = {
  name: 'image',
  check: (image) =>
    /^[a-z0-9][a-zA-Z0-9._:/-]{0,254}$/.test(image)
      ? undefined
      : 'must be an image name such as example.com/weft',
};

const TAG: TextFormat = {
  name: 'tag',
  check: (tag) =>
    /^(@sha256:[0-9a-f]{64}|[A-Za-z0-9_][A-Za-z0-9._-]{0,127})$/.test(tag)
      ? undefined
      : 'must be a tag such as 0.1.0, or @sha256:… for a digest',
};

const RESOURCE: TextFormat = {
  name: 'resource',
  check: (name) =>
    /^[a-z][a-z0-9./-]{0,62}$/.test(name) ? undefined : 'must be cpu, memory or another resource',
};

const quantities = map(RESOURCE, text({ format: QUANTITY }), 16);
const labels = map(LABEL_KEY, text({ format: LABEL_VALUE, mayBeEmpty: true }));

function resources(defaults: ResourceValues): Schema<ResourceValues> {
  return object<ResourceValues>({
    requests: withDefault(quantities, defaults.requests, 'What the scheduler keeps free.'),
    limits: withDefault(quantities, defaults.limits, 'What may be used at the most.'),
  });
}

const CONTROL_PLANE_RESOURCES: ResourceValues = {
  requests: { cpu: '100m', memory: '256Mi' },
  limits: { memory: '1Gi' },
};

const VARIABLE: TextFormat = {
  name: 'variable',
  check: (name) =>
    /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? undefined : 'must be the name of a variable',
};

const labelSelectors = list(
  object<LabelSelector>({
    matchLabels: optional(labels, 'Labels that a pod must have, all of them.'),
    matchExpressions: optional(
      list(
        object<NonNullable<LabelSelector['matchExpressions']>[number]>({
          key: required(text({ format: LABEL_KEY }), 'Label.'),
          operator: required(choice(['In', 'NotIn', 'Exists', 'DoesNotExist']), 'Comparison.'),
          values: optional(list(text({ mayBeEmpty: true })), 'With In and NotIn.'),
        }),
        { itemsMax: 32 },
      ),
      'Further requirements.',
    ),
  }),
  { itemsMax: 32 },
);

const toleration = object<Toleration>({
  key: optional(text({ format: LABEL_KEY }), 'Taint; absent with Exists = every taint.'),
  operator: optional(choice(['Exists', 'Equal']), 'How value is compared.'),
  value: optional(text({ format: LABEL_VALUE, mayBeEmpty: true }), 'Value of the taint.'),
  effect: optional(
    choice(['NoSchedule', 'PreferNoSchedule', 'NoExecute']),
    'Effect of the taint; absent = every one.',
  ),
  tolerationSeconds: optional(integer(0, 1e9), 'Seconds that a NoExecute taint is borne.'),
});

function webhook(doc: string): Schema<WebhookSwitch> {
  return object<WebhookSwitch>({
    enabled: withDefault(flag(), true, doc),
    failurePolicy: withDefault(
      choice(['Fail', 'Ignore']),
      'Fail',
      'What the API server does when no replica answers: Fail refuses, so that nothing runs outside of the mesh unseen.',
    ),
    timeoutSeconds: withDefault(integer(1, 30), 10, 'Seconds that the API server waits.'),
  });
}

function monitor(what: string): Schema<MonitorValues> {
  return object<MonitorValues>({
    enabled: withDefault(flag(), false, `${what} Needs the Prometheus operator.`),
    interval: withDefault(text({ format: INTERVAL }), '15s', 'Time between scrapes.'),
    labels: withDefault(labels, {}, 'What the Prometheus object selects by.'),
  });
}

/** An object all of whose fields have defaults, and so has itself. */
function section<T extends object>(schema: Schema<T>, doc: string) {
  return withDefault(schema, {} as NoInfer<T>, doc);
}

/**
 * One schema for `weft install --values`, for the chart's `values.yaml` and its `values.schema.json`. Defaults give two replicas
 * that share nothing but the Kubernetes API.
 */
export function valuesSchema(version: string): Schema<InstallValues> {
  return object<InstallValues>({
    image: section(
      object<ImageValues>({
        repository: withDefault(text({ format: IMAGE }), 'weft', 'Image of all roles.'),
        tag: withDefault(text({ format: TAG }), version, 'Its tag, or @sha256:…'),
        pullPolicy: withDefault(
          choice(['Always', 'IfNotPresent', 'Never']),
          'IfNotPresent',
          'When the kubelet pulls it.',
        ),
        pullSecrets: withDefault(
          list(text({ format: DNS_LABEL }), { itemsMax: 16, distinct: true }),
          [],
          "Secrets of the control plane's namespace to pull with.",
        ),
      }),
      'The one image of proxy, control plane and redirect.',
    ),
    mesh: section(
      object<MeshValues>({
        trustDomain: withDefault(
          text({ format: DNS_NAME }),
          'cluster.local',
          'SPIFFE trust domain (SC-03).',
        ),
        clusterDomain: withDefault(
          text({ format: DNS_NAME }),
          'cluster.local',
          'DNS suffix of services.',
        ),
        rootNamespace: withDefault(
          text({ format: DNS_LABEL }),
          'istio-system',
          'Policies of this namespace hold for the whole mesh (PL-04).',
        ),
        outboundTrafficPolicy: withDefault(
          choice(['ALLOW_ANY', 'REGISTRY_ONLY']),
          'ALLOW_ANY',
          'Calls to hosts that the mesh does not know (TM-19).',
        ),
        accessLog: withDefault(
          text({ mayBeEmpty: true }),
          '',
          'Path such as /dev/stdout; empty = off (OB-07).',
        ),
        accessLogEncoding: withDefault(choice(['TEXT', 'JSON']), 'TEXT', 'Of accessLog.'),
      }),
      'Settings of the whole mesh.',
    ),
    controlPlane: section(
      object<ControlPlaneValues>({
        replicas: withDefault(
          integer(1, 16),
          2,
          'Replicas; any of them serves, one of them writes.',
        ),
        logLevel: withDefault(choice(['debug', 'info', 'warn', 'error']), 'info', 'Log level.'),
        resources: section(resources(CONTROL_PLANE_RESOURCES), 'Of each replica.'),
        podDisruptionBudget: section(
          object<ControlPlaneValues['podDisruptionBudget']>({
            enabled: withDefault(flag(), true, 'Whether evictions leave replicas up.'),
            minAvailable: withDefault(integer(0, 15), 1, 'Replicas that evictions leave.'),
          }),
          'PodDisruptionBudget; left out with one replica, which it would pin to its node.',
        ),
        antiAffinity: withDefault(
          choice(['preferred', 'required', 'none']),
          'preferred',
          'Replicas on different nodes.',
        ),
        nodeSelector: withDefault(labels, {}, 'Labels of the nodes to run on.'),
        tolerations: withDefault(list(toleration, { itemsMax: 64 }), [], 'Taints that are borne.'),
        priorityClassName: withDefault(
          text({ format: DNS_NAME, mayBeEmpty: true }),
          '',
          'PriorityClass, such as system-cluster-critical; empty = the default.',
        ),
        podAnnotations: withDefault(
          map(LABEL_KEY, text({ mayBeEmpty: true })),
          {},
          'Further annotations of the pods.',
        ),
        podLabels: withDefault(labels, {}, 'Further labels of the pods.'),
        writesPolicies: withDefault(
          flag(),
          false,
          'Whether weft apply may write policies through a replica, beside kubectl.',
        ),
        extraArgs: withDefault(
          list(text({ charsMax: 512 }), { itemsMax: 64 }),
          [],
          'Further flags of weft control-plane.',
        ),
      }),
      'The control plane.',
    ),
    webhooks: section(
      object<WebhookValues>({
        injection: section(
          webhook('Pods of labelled namespaces get a sidecar (KI-01).'),
          'Injection.',
        ),
        validation: section(webhook('Policies are judged before they are stored.'), 'Validation.'),
      }),
      'Admission webhooks.',
    ),
    injection: section(
      object<InjectionValues>({
        nativeSidecar: withDefault(
          flag(),
          true,
          'The proxy as an init container with restartPolicy Always (KI-03); false for Kubernetes before 1.29.',
        ),
        holdApplicationUntilProxyStarts: withDefault(
          flag(),
          true,
          'Without native sidecars: apps wait for the proxy (KI-04).',
        ),
        dnsCapture: withDefault(flag(), false, 'Sidecars answer DNS for mesh names (DS-05).'),
        injectByDefault: withDefault(flag(), false, 'Pods of namespaces without a label, too.'),
        revision: withDefault(
          text({ format: DNS_LABEL }),
          'default',
          'Value of istio.io/rev labels that asks for our sidecars.',
        ),
        revisionTags: withDefault(
          list(text({ format: DNS_LABEL }), { itemsMax: 16, distinct: true }),
          [],
          'Other names of the revision.',
        ),
        neverInjectSelector: withDefault(labelSelectors, [], 'Pods that never get a sidecar.'),
        alwaysInjectSelector: withDefault(
          labelSelectors,
          [],
          'Pods that get one though they do not say so.',
        ),
        interceptionMode: withDefault(
          choice(['REDIRECT', 'NONE']),
          'REDIRECT',
          'Whether traffic is redirected (KI-02).',
        ),
        rewriteAppProbes: withDefault(flag(), true, 'Probes go through the sidecar (KI-05).'),
        mergePrometheus: withDefault(flag(), true, 'One page for sidecar and app (OB-05).'),
        includeInboundPorts: withDefault(
          text({ mayBeEmpty: true }),
          '*',
          'Ports that are redirected: * or 80,443.',
        ),
        excludeInboundPorts: withDefault(text({ mayBeEmpty: true }), '', 'Ports that are not.'),
        includeOutboundPorts: withDefault(
          text({ mayBeEmpty: true }),
          '',
          'Ports redirected to whatever address, beside the ranges.',
        ),
        excludeOutboundPorts: withDefault(text({ mayBeEmpty: true }), '', 'Ports that are not.'),
        includeOutboundIpRanges: withDefault(
          text({ mayBeEmpty: true }),
          '*',
          'Ranges that are redirected: * or 10.0.0.0/8.',
        ),
        excludeOutboundIpRanges: withDefault(
          text({ mayBeEmpty: true }),
          '',
          'Ranges that are not.',
        ),
        logLevel: withDefault(
          choice(['trace', 'debug', 'info', 'warning', 'error', 'critical', 'off']),
          'warning',
          'Of the sidecars.',
        ),
        terminationDrainSeconds: withDefault(
          integer(0, 86_400),
          5,
          'Seconds that a stopping sidecar waits for requests under way.',
        ),
        statusPort: withDefault(
          integer(0, 65_535),
          15_020,
          'Health, merged metrics, probes; 0 = none.',
        ),
        readinessInitialDelaySeconds: withDefault(integer(0, 86_400), 0, 'Of the sidecar (KI-06).'),
        readinessPeriodSeconds: withDefault(integer(1, 86_400), 15, 'Of the sidecar (KI-06).'),
        readinessFailureThreshold: withDefault(integer(1, 1000), 4, 'Of the sidecar (KI-06).'),
        resources: section(resources(PROXY_RESOURCES), 'Of each sidecar (KI-07).'),
        env: withDefault(
          map(VARIABLE, text({ mayBeEmpty: true })),
          {},
          'Further variables of the sidecars.',
        ),
        lockedAnnotations: withDefault(
          list(text(), { itemsMax: 64, distinct: true }),
          [],
          'Annotations, by the name that Istio gives them, that pods may not use.',
        ),
        imagePullSecrets: withDefault(
          list(text({ format: DNS_LABEL }), { itemsMax: 16, distinct: true }),
          [],
          'Secrets of each namespace to pull the sidecar with.',
        ),
      }),
      'What injected sidecars look like.',
    ),
    networkPolicy: section(
      object<InstallValues['networkPolicy']>({
        enabled: withDefault(flag(), true, 'Only the ports that serve others can be reached.'),
      }),
      'NetworkPolicy of the control plane.',
    ),
    monitoring: section(
      object<MonitoringValues>({
        serviceMonitor: section(monitor('Scrapes the control plane.'), 'ServiceMonitor.'),
        podMonitor: section(monitor('Scrapes every sidecar.'), 'PodMonitor.'),
      }),
      'Objects of the Prometheus operator.',
    ),
  });
}
