import { nearest } from '../../../proto/nearest.ts';
import { SETTING_KEYS } from './settings.ts';

/** What a process was given by whoever started it. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** Variables of `weft proxy` beside the settings (`SETTING_KEYS`), which may each stand here too. */
export const ENVIRONMENT_KEYS: ReadonlySet<string> = new Set([
  'WEFT_CONTROL_PLANE',
  'WEFT_LABELS',
  'WEFT_PODINFO',
  'WEFT_DRAIN_TIME_S',
  'WEFT_APP_PROBERS',
  'WEFT_PROMETHEUS_ANNOTATIONS',
]);

/** Names of others that a sidecar reads: Istio's and the downward API's. */
export const FOREIGN_KEYS: ReadonlySet<string> = new Set([
  'POD_NAME',
  'POD_NAMESPACE',
  'INSTANCE_IP',
  'SERVICE_ACCOUNT',
  'HOST_IP',
  'ISTIO_KUBE_APP_PROBERS',
  'ISTIO_PROMETHEUS_ANNOTATIONS',
  'TERMINATION_DRAIN_DURATION_SECONDS',
  'EXIT_ON_ZERO_ACTIVE_CONNECTIONS',
  'MINIMUM_DRAIN_DURATION',
]);

/** Of Weft's other programs; an environment shared with them is no mistake. */
const OTHER_PROGRAMS: ReadonlySet<string> = new Set(['WEFT_SERVER']);

export const METADATA_PREFIX = 'ISTIO_META_';

/** Whether the environment means to configure a sidecar at all, perhaps wrongly. */
export function isConfiguredByEnvironment(variables: Variables): boolean {
  return weftVariables(variables).length > 0 || 'POD_NAME' in variables;
}

/** A problem for each variable that starts with `WEFT_` and means nothing. */
export function unknownVariables(variables: Variables): string[] {
  const known = [...ENVIRONMENT_KEYS, ...SETTING_KEYS];
  return weftVariables(variables)
    .filter((name) => !ENVIRONMENT_KEYS.has(name) && !SETTING_KEYS.has(name))
    .map((name) => {
      const near = nearest(name, known);
      const hint = near === undefined ? `they are ${known.join(', ')}` : `did you mean ${near}?`;
      return `${name}: no such variable; ${hint}`;
    });
}

function weftVariables(variables: Variables): string[] {
  const links = serviceLinks(variables);
  return Object.keys(variables)
    .filter((name) => name.startsWith('WEFT_') && !OTHER_PROGRAMS.has(name) && !links(name))
    .sort();
}

/** What the kubelet adds to a pod for each Service of its namespace, after `<SERVICE>_SERVICE_HOST` and `_PORT`. */
const LINK_SUFFIX =
  /^_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$/;

/** Tells the variables of service links: beside a Service `weft-control-plane` there are `WEFT_CONTROL_PLANE_PORT`, … */
function serviceLinks(variables: Variables): (name: string) => boolean {
  const services = Object.keys(variables)
    .filter((name) => name.endsWith('_SERVICE_HOST'))
    .map((name) => name.slice(0, -'_SERVICE_HOST'.length))
    .filter((service) => variables[`${service}_SERVICE_PORT`] !== undefined);
  return (name) =>
    services.some(
      (service) => name.startsWith(service) && LINK_SUFFIX.test(name.slice(service.length)),
    );
}
