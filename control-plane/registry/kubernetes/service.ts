import { isIP } from 'node:net';
import type { StringMap } from '../../kinds/resource.ts';
import { isRecord, type KubernetesObject } from '../../kubernetes/kubernetes-object.ts';
import { protocolOf } from '../protocol.ts';
import type { ServicePort } from '../registry.ts';
import { aliased, stringMap, textOf } from './pod.ts';

/** What is kept of a Service. */
export interface ServiceRecord {
  readonly namespace: string;
  readonly name: string;
  readonly ports: readonly KubernetesPort[];
  /** ClusterIPs, of both families where it has both; none for headless ones. */
  readonly addresses: readonly string[];
  readonly family: 'IPv4' | 'IPv6';
  /** Of an ExternalName, lower case, else ''. */
  readonly externalName: string;
  readonly selector: StringMap | null;
  readonly exportTo: readonly string[];
  readonly hasSessionAffinity: boolean;
  readonly creationTimestamp: string;
}

export interface KubernetesPort extends ServicePort {
  /** Name of the container's port, or '' where the number is given. */
  readonly targetName: string;
}

/** The number of a Service's ports that is allowed by nothing but reason. */
const PORTS_MAX = 256;

const HOST_NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

/** Null where the mesh could make nothing of it. */
export function serviceRecord({ metadata, spec }: KubernetesObject): ServiceRecord | null {
  if (!isRecord(spec)) return null;
  const annotations = stringMap(metadata.annotations);
  const isExternal = spec['type'] === 'ExternalName';
  const externalName = isExternal
    ? textOf(spec['externalName']).toLowerCase().replace(/\.$/, '')
    : '';
  if (isExternal && !HOST_NAME.test(externalName)) return null;
  const selector = stringMap(spec['selector']);
  const families: unknown = Array.isArray(spec['ipFamilies']) ? spec['ipFamilies'][0] : undefined;
  const addresses = isExternal ? [] : clusterAddresses(spec);
  const isIPv6 = families === 'IPv6' || (families === undefined && addresses[0]?.includes(':'));
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    ports: servicePorts(spec['ports']),
    addresses,
    family: isIPv6 === true ? 'IPv6' : 'IPv4',
    externalName,
    selector: Object.keys(selector).length === 0 || isExternal ? null : selector,
    exportTo: exportTo(aliased(annotations, 'networking', 'exportTo')),
    hasSessionAffinity: spec['sessionAffinity'] === 'ClientIP',
    creationTimestamp: metadata.creationTimestamp ?? '',
  };
}

function clusterAddresses(spec: Record<string, unknown>): string[] {
  const all: unknown[] = Array.isArray(spec['clusterIPs'])
    ? spec['clusterIPs']
    : [spec['clusterIP']];
  return all.filter((each): each is string => typeof each === 'string' && isIP(each) !== 0);
}

/** By number: one number may stand twice, for TCP and UDP; TCP is what the mesh routes. SCTP is not for it. */
function servicePorts(value: unknown): KubernetesPort[] {
  const ports = new Map<number, KubernetesPort>();
  for (const each of (Array.isArray(value) ? value : []).slice(0, PORTS_MAX)) {
    if (!isRecord(each)) continue;
    const { port, name, appProtocol, targetPort, protocol = 'TCP' } = each;
    if (!isPort(port) || (protocol !== 'TCP' && protocol !== 'UDP')) continue;
    if (protocol === 'UDP' && ports.has(port)) continue;
    ports.set(port, {
      number: port,
      name: textOf(name),
      protocol: protocol === 'UDP' ? 'udp' : protocolOf(textOf(appProtocol), textOf(name), port),
      ...(typeof targetPort === 'string' ? {} : { targetPort: numberOr(targetPort, port) }),
      targetName: textOf(targetPort),
    });
  }
  return [...ports.values()].sort((a, b) => a.number - b.number);
}

function numberOr(value: unknown, fallback: number): number {
  return isPort(value) ? value : fallback;
}

/** What is no port would make every sidecar refuse its configuration. */
export function isPort(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65_535;
}

/** Namespaces that one annotation may name, as many as a policy may; those beyond do not see the service. */
const EXPORT_TO_MAX = 256;

/** `networking.istio.io/exportTo: "ns1,ns2"`; nothing = everybody. */
function exportTo(text: string): readonly string[] {
  const names = text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
    .slice(0, EXPORT_TO_MAX);
  return names.length === 0 ? ['*'] : names;
}
