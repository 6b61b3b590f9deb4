import { formatPath } from '../../../proto/field-path.ts';
import type { HostPort } from '../../tcp/socket-address.ts';
import { Problems } from '../compile/problems.ts';
import { drainFromEnvironment } from './drain-environment.ts';
import { METADATA_PREFIX, unknownVariables, type Variables } from './environment-variables.ts';
import { parseHostPort } from './host-port.ts';
import { parsePorts } from './port-list.ts';
import { readSettings, SETTING_KEYS } from './settings.ts';
import { type SidecarNode, sidecarBootstrap } from './sidecar-bootstrap.ts';
import { parseLabels, parsePodinfo } from './workload-labels.ts';
import { canonicalService, workloadOfPod } from './workload-name.ts';

/** What a container knows of itself; `main.ts` asks the machine for it. */
export interface Surroundings {
  readonly variables: Variables;
  readonly hostName: string;
  /** Addresses of this host that others could reach, best first; IP literals without brackets. */
  readonly addresses: readonly string[];
  /** The text of a file; undefined where there is none or it cannot be read. */
  readonly readFile: (path: string) => string | undefined;
}

export type EnvironmentBootstrap =
  | { readonly ok: true; readonly bootstrap: object }
  | { readonly ok: false; readonly problems: readonly string[] };

/** Where the injector mounts what a sidecar needs. */
const ROOT_CERT_FILE = '/var/run/secrets/weft/root-cert.pem';
const TOKEN_FILE = '/var/run/secrets/tokens/weft-token';
const PODINFO_DIRECTORY = '/etc/weft/pod';
const PLACEHOLDER: HostPort = { host: '127.0.0.1', port: 1 };

/**
 * The bootstrap of a sidecar in a container, from its environment: the address of the control plane, who this workload
 * is, and every setting (`settings.ts`) as a variable of the same name. `problems` has every mistake, each with the
 * variable or file and what to do. docs/sidecar-container.md lists the variables.
 */
export function bootstrapFromEnvironment(surroundings: Surroundings): EnvironmentBootstrap {
  const reader = new EnvironmentReader(surroundings);
  const bootstrap = reader.read();
  const { problems } = reader;
  return problems.length === 0 ? { ok: true, bootstrap } : { ok: false, problems };
}

class EnvironmentReader {
  readonly problems: string[] = [];
  readonly #surroundings: Surroundings;

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings;
  }

  read(): object {
    const { variables } = this.#surroundings;
    const controlPlane = this.#controlPlane();
    this.problems.push(...unknownVariables(variables));
    const tls = !this.#flag('WEFT_INSECURE_XDS');
    const mode = this.#mode();
    const addresses = this.#addresses();
    const labels = this.#labels();
    const metadata: Record<string, unknown> = {
      ...this.#passedOn(),
      ...this.#identity(labels),
      LABELS: Object.fromEntries(labels),
      INSTANCE_IPS: addresses.join(','),
      WEFT_MODE: mode,
    };
    for (const key of SETTING_KEYS) {
      const text = this.#text(key);
      if (text !== '' && key !== 'WEFT_PORTS') metadata[key] = text;
    }
    this.#ports(metadata, mode, addresses[0] ?? '127.0.0.1');
    this.#outbound(metadata, mode);
    this.#listenOnBothFamilies(metadata, addresses);
    if (tls) this.#credentials(metadata);
    this.#checkSettings(metadata);
    const drain = drainFromEnvironment(variables);
    if (!drain.ok) this.problems.push(...drain.problems);
    return sidecarBootstrap({
      node: this.#node(metadata, labels, addresses),
      admin: this.#admin(),
      controlPlane: controlPlane ?? PLACEHOLDER,
      tls,
      trustedCaFile: '',
    });
  }

  #text(name: string): string {
    return this.#surroundings.variables[name]?.trim() ?? '';
  }

  #flag(name: string): boolean {
    const text = this.#text(name);
    if (!['', 'true', 'false', '1', '0'].includes(text)) {
      this.problems.push(`${name}: "${text}" is not one of true, false`);
    }
    return text === 'true' || text === '1';
  }

  /** Loopback alone may reach it, unless it is said otherwise. */
  #admin(): HostPort | null {
    const text = this.#text('WEFT_ADMIN') || '127.0.0.1:15000';
    if (text === 'none') return null;
    const admin = parseHostPort(text);
    if (admin === undefined) this.problems.push(`WEFT_ADMIN: "${text}" must read host:port`);
    return admin ?? null;
  }

  #controlPlane(): HostPort | undefined {
    const text = this.#text('WEFT_CONTROL_PLANE');
    const example = 'such as weft-control-plane.weft-system:15012';
    if (text === '') {
      this.problems.push(
        `WEFT_CONTROL_PLANE is not set; set it to the address of the control plane, ${example}`,
      );
      return undefined;
    }
    const address = parseHostPort(text);
    if (address === undefined || address.port === 0) {
      this.problems.push(`WEFT_CONTROL_PLANE: "${text}" must read host:port, ${example}`);
      return undefined;
    }
    return address;
  }

  /** `WEFT_MODE`, else as Istio says it by `ISTIO_META_INTERCEPTION_MODE`. */
  #mode(): 'redirect' | 'explicit' {
    const asked = this.#text('WEFT_MODE');
    const interception = this.#text('ISTIO_META_INTERCEPTION_MODE');
    if (!['', 'redirect', 'explicit'].includes(asked)) {
      this.problems.push(`WEFT_MODE: "${asked}" is not one of redirect, explicit`);
    }
    if (!['', 'REDIRECT', 'NONE'].includes(interception)) {
      this.problems.push(
        `ISTIO_META_INTERCEPTION_MODE: "${interception}" is not supported; use REDIRECT or NONE`,
      );
    }
    const other = interception === 'NONE' ? 'redirect' : 'explicit';
    if (interception !== '' && asked === other) {
      this.problems.push(
        `WEFT_MODE=${asked} contradicts ISTIO_META_INTERCEPTION_MODE=${interception}; leave one out`,
      );
    }
    return asked === 'explicit' || (asked === '' && interception === 'NONE')
      ? 'explicit'
      : 'redirect';
  }

  #addresses(): readonly string[] {
    const given = this.#text('INSTANCE_IP')
      .split(',')
      .map((address) => address.trim())
      .filter((address) => address !== '');
    for (const address of given) {
      // No parser of IP addresses: node:net would be the only reason to load it here.
      if (!/^[0-9a-fA-F:.]+$/.test(address) || !/[.:]/.test(address)) {
        this.problems.push(`INSTANCE_IP: "${address}" is no IP address`);
      }
    }
    return given.length > 0 ? given : this.#surroundings.addresses;
  }

  /** Labels of the downward API, `WEFT_LABELS` over them. */
  #labels(): ReadonlyMap<string, string> {
    const directory = this.#text('WEFT_PODINFO');
    const file = `${directory || PODINFO_DIRECTORY}/labels`;
    const podinfo = this.#surroundings.readFile(file);
    const merged = new Map<string, string>();
    if (podinfo !== undefined) this.#addLabels(merged, file, parsePodinfo(podinfo));
    else if (directory !== '') {
      this.problems.push(
        `WEFT_PODINFO: ${file} cannot be read; mount the labels of the pod there by the downward API`,
      );
    }
    this.#addLabels(merged, 'WEFT_LABELS', parseLabels(this.#text('WEFT_LABELS')));
    return merged;
  }

  #addLabels(
    merged: Map<string, string>,
    source: string,
    parsed: ReturnType<typeof parseLabels>,
  ): void {
    if (!parsed.ok) this.problems.push(`${source}: ${parsed.problem}`);
    else for (const [label, value] of parsed.labels) merged.set(label, value);
  }

  /** `ISTIO_META_<X>` → `<X>`. */
  #passedOn(): Record<string, string> {
    const metadata: Record<string, string> = Object.create(null) as Record<string, string>;
    for (const [name, value] of Object.entries(this.#surroundings.variables)) {
      if (!name.startsWith(METADATA_PREFIX) || value === undefined) continue;
      const key = name.slice(METADATA_PREFIX.length);
      const instead = SAID_BY.get(key) ?? (key.startsWith('WEFT_') ? key : undefined);
      if (instead !== undefined) this.problems.push(`${name}: set ${instead} instead`);
      else metadata[key] = value;
    }
    return metadata;
  }

  #identity(labels: ReadonlyMap<string, string>): Record<string, string> {
    const pod = this.#text('POD_NAME') || this.#surroundings.hostName;
    const namespace = this.#text('POD_NAMESPACE') || 'default';
    if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(namespace)) {
      this.problems.push(`POD_NAMESPACE: "${namespace}" is no name of a namespace`);
    }
    return {
      NAME: pod,
      NAMESPACE: namespace,
      SERVICE_ACCOUNT: this.#text('SERVICE_ACCOUNT') || 'default',
      WORKLOAD_NAME: this.#text('ISTIO_META_WORKLOAD_NAME') || workloadOfPod(pod, labels),
      CLUSTER_ID: this.#text('ISTIO_META_CLUSTER_ID') || 'Kubernetes',
      ...(this.#text('HOST_IP') === '' ? {} : { HOST_IP: this.#text('HOST_IP') }),
    };
  }

  #outbound(metadata: Record<string, unknown>, mode: 'redirect' | 'explicit'): void {
    const text = this.#text('WEFT_OUTBOUND');
    const saysRedirect = ['', 'redirect'].includes(this.#text('WEFT_MODE'));
    if (mode === 'explicit') metadata['WEFT_OUTBOUND'] ??= '127.0.0.1:15001';
    else if (text !== '' && saysRedirect) {
      this.problems.push(
        'WEFT_OUTBOUND is where an app with HTTP_PROXY finds the sidecar; it needs WEFT_MODE=explicit',
      );
    }
    if (text !== '' && parseHostPort(text) === undefined) {
      this.problems.push(`WEFT_OUTBOUND: "${text}" must read host:port`);
    }
  }

  #ports(metadata: Record<string, unknown>, mode: 'redirect' | 'explicit', address: string): void {
    const text = this.#text('WEFT_PORTS');
    const service = this.#text('WEFT_SERVICE');
    if (service !== '' && !/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(service)) {
      this.problems.push(`WEFT_SERVICE: "${service}" is neither a DNS label nor a host name`);
    }
    if (text === '') {
      if (service === '') return;
      this.problems.push(
        'WEFT_SERVICE is set and WEFT_PORTS is not; list the ports of the app, such as WEFT_PORTS=9080:http',
      );
      return;
    }
    const parsed = parsePorts(text, { mode, address });
    if (!parsed.ok) this.problems.push(...parsed.problems.map((each) => `WEFT_PORTS${each}`));
    else {
      metadata['WEFT_PORTS'] = parsed.ports;
      // Said here, so that the control plane waits for the app's first good answer.
      metadata['WEFT_APP_PROBE'] ??= 'tcp';
    }
  }

  /** Kubelets and scrapers of an IPv6 pod come by IPv6. */
  #listenOnBothFamilies(metadata: Record<string, unknown>, addresses: readonly string[]): void {
    if (!addresses.some((address) => address.includes(':'))) return;
    metadata['WEFT_STATUS'] ??= '[::]:15020';
    metadata['WEFT_READINESS'] ??= '[::]:15021';
    metadata['WEFT_PROMETHEUS'] ??= '[::]:15090';
  }

  #credentials(metadata: Record<string, unknown>): void {
    this.#file(metadata, 'WEFT_ROOT_CERT', ROOT_CERT_FILE, {
      what: 'root certificate of the control plane',
      todo: 'mount its ConfigMap weft-ca-root-cert there, or name the PEM file in WEFT_ROOT_CERT',
    });
    this.#file(metadata, 'WEFT_TOKEN_FILE', TOKEN_FILE, {
      what: 'token that this workload proves itself by',
      todo: 'mount a service-account token for audience weft-ca there, or name the file of a join token (weft token) in WEFT_TOKEN_FILE',
    });
  }

  /** A file that must be there: by its variable, else at its usual place. */
  #file(
    metadata: Record<string, unknown>,
    variable: string,
    usual: string,
    { what, todo }: { readonly what: string; readonly todo: string },
  ): void {
    const named = this.#text(variable);
    const path = named || usual;
    const text = this.#surroundings.readFile(path);
    if (text === undefined || text.trim() === '') {
      const why = text === undefined ? 'cannot be read' : 'is empty';
      this.problems.push(
        named === ''
          ? `${variable} is not set and ${path} ${why}: the ${what}; ${todo}`
          : `${variable}: ${path} ${why}: the ${what}; ${todo}`,
      );
    }
    metadata[variable] = path;
  }

  /** The rules of the settings themselves, told by the names of variables. */
  #checkSettings(metadata: Readonly<Record<string, unknown>>): void {
    const problems = new Problems();
    readSettings(metadata, true, problems);
    for (const { path, message } of problems.list) {
      this.problems.push(`${formatPath(path.slice(2))}: ${message}`);
    }
  }

  #node(
    metadata: Readonly<Record<string, unknown>>,
    labels: ReadonlyMap<string, string>,
    addresses: readonly string[],
  ): SidecarNode {
    const [name, namespace, workload] = ['NAME', 'NAMESPACE', 'WORKLOAD_NAME'].map((key) =>
      String(metadata[key]),
    );
    const locality = localityOf(labels);
    return {
      id: `sidecar~${addresses[0] ?? '127.0.0.1'}~${name}.${namespace}~${namespace}.svc.cluster.local`,
      cluster: `${canonicalService(labels, workload!)}.${namespace}`,
      ...(locality === undefined ? {} : { locality }),
      metadata,
    };
  }
}

/** Metadata that has a variable of its own. */
const SAID_BY: ReadonlyMap<string, string> = new Map([
  ['NAME', 'POD_NAME'],
  ['NAMESPACE', 'POD_NAMESPACE'],
  ['SERVICE_ACCOUNT', 'SERVICE_ACCOUNT'],
  ['LABELS', 'WEFT_LABELS'],
  ['INSTANCE_IPS', 'INSTANCE_IP'],
]);

/** `istio-locality: region.zone.subzone`, else the topology labels that Kubernetes copies from the node. */
function localityOf(
  labels: ReadonlyMap<string, string>,
): Readonly<Record<string, string>> | undefined {
  const [region, zone, subZone] = (labels.get('istio-locality') ?? '').split(/[./]/);
  const parts = {
    region: region || labels.get('topology.kubernetes.io/region') || '',
    zone: zone || labels.get('topology.kubernetes.io/zone') || '',
    sub_zone: subZone || labels.get('topology.istio.io/subzone') || '',
  };
  return parts.region === '' ? undefined : parts;
}
