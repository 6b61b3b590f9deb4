import type { Node } from '../../proto/gen/envoy/config/core/v3/base.ts';
import type { StringMap } from '../kinds/resource.ts';
import { parseListenAddress } from '../listen-address.ts';
import type { MeshOptions } from '../mesh/mesh-options.ts';
import { expandHost } from '../registry/host-name.ts';
import { type Protocol, protocolOf } from '../registry/protocol.ts';

/** All that translation wants to know of one proxy; made from its first discovery request. Immutable. */
export interface ProxyView {
  /** `node.id`. */
  readonly id: string;
  readonly kind: 'weft' | 'envoy' | 'grpc';
  /**
   * `explicit`: the app sets HTTP_PROXY and each port has a listener of its own. `redirect`: packets are redirected to
   * 15001 and 15006. `proxyless`: a gRPC client that reads xDS itself. Asked for by `WEFT_MODE` and `WEFT_OUTBOUND`, or in
   * Istio's words by `INTERCEPTION_MODE` and `HTTP_PROXY_PORT`.
   */
  readonly mode: 'explicit' | 'redirect' | 'proxyless';
  readonly namespace: string;
  /** The third part of `node.id`, before the namespace. */
  readonly workload: string;
  readonly serviceAccount: string;
  readonly labels: StringMap;
  /** `region/zone/subzone`, or ''. */
  readonly locality: string;
  readonly clusterId: string;
  /** FQDN of the service it serves, or '' for a mere client. */
  readonly host: string;
  readonly ports: readonly ProxyPort[];
  /** Where the explicit-proxy listener binds; null = no such listener. */
  readonly outbound: SocketAddress | null;
  readonly addresses: readonly string[];
  /** It answers its app's DNS questions (DS-05): `DNS_CAPTURE` or `WEFT_DNS`. */
  readonly answersNames: boolean;
  /**
   * Where it finds its certificate and the mesh roots. `ads`: in itself, under a name that looks like ours (Weft).
   * `static`: in its bootstrap (a stock Envoy with `WEFT_SECRETS: static`). `none`: nowhere, so no mesh TLS.
   */
  readonly secrets: 'ads' | 'static' | 'none';
}

export interface SocketAddress {
  readonly host: string;
  readonly port: number;
}

/** A port of the app (`WEFT_PORTS`). */
export interface ProxyPort {
  /** As callers know it. */
  readonly number: number;
  readonly name: string;
  readonly protocol: Protocol;
  /** Where the sidecar takes connections from others. */
  readonly listen: SocketAddress;
  /** Where the app itself listens. */
  readonly app: SocketAddress;
}

export type ParsedProxyView =
  | { readonly ok: true; readonly view: ProxyView }
  | { readonly ok: false; readonly problem: string };

/** Ports of one workload; more is a mistake or an attack on the memory of every other sidecar. */
const PROXY_PORTS_MAX = 64;
const LABELS_MAX = 128;
const TEXT_CHARS_MAX = 253;
const ADDRESSES_MAX = 16;

/** RFC 1123 label. */
const DNS_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const HOST = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

/**
 * Reads a node. The namespace stands in `metadata.NAMESPACE`, else in the id (`sidecar~ip~name.namespace~domain`); a
 * gRPC client needs neither. `problem` says what was expected.
 */
export function parseProxyView(node: Node | undefined, options: MeshOptions): ParsedProxyView {
  if (node === undefined || node.id === '') {
    return failed(
      'the first discovery request of a stream must carry a node with an id such as sidecar~10.0.0.7~reviews-v1.default~default.svc.cluster.local',
    );
  }
  if (node.id.length > 4 * TEXT_CHARS_MAX) return failed('node.id is longer than 1012 characters');
  const metadata = new MetadataReader(node.metadata ?? {});
  const id = /^(?:sidecar|router|ingress)~([^~]*)~([^~]*)~([^~]*)$/.exec(node.id);
  const kind = kindOf(node.userAgentName);
  if (id === null && kind !== 'grpc' && metadata.text('NAMESPACE') === '') {
    return failed(
      `node.id "${node.id}" is not of the form sidecar~<ip>~<workload>.<namespace>~<namespace>.svc.${options.domain}, and node.metadata.NAMESPACE is not set`,
    );
  }
  const dot = id === null ? -1 : id[2]!.lastIndexOf('.');
  const idWorkload = dot < 0 ? '' : id![2]!.slice(0, dot);
  const idNamespace = dot < 0 ? '' : id![2]!.slice(dot + 1);
  const namespace = metadata.text('NAMESPACE') || idNamespace || 'default';
  if (!DNS_LABEL.test(namespace)) return failed(`namespace "${namespace}" is no DNS label`);
  const labels = metadata.strings('LABELS');
  const service = metadata.text('WEFT_SERVICE');
  const host = service === '' ? '' : expandHost(service, namespace, options.domain);
  if (host !== '' && !HOST.test(host)) {
    return failed(`node.metadata.WEFT_SERVICE "${service}" is neither a DNS label nor a host name`);
  }
  const ports = readPorts(metadata.value('WEFT_PORTS'), metadata.problems);
  const outbound = readOutbound(metadata);
  const mode = readMode(kind, metadata, ports.length > 0 || outbound !== null);
  if (metadata.problems.length > 0) {
    return failed(`node.metadata: ${metadata.problems.slice(0, 8).join('; ')}`);
  }
  const locality = node.locality;
  const addresses = metadata.text('INSTANCE_IPS').split(',').filter(isFilled);
  if (addresses.length === 0 && id !== null && id[1] !== '') addresses.push(id[1]!);
  return {
    ok: true,
    view: {
      id: node.id,
      kind,
      mode,
      namespace,
      workload: metadata.text('WORKLOAD_NAME') || idWorkload || node.id,
      serviceAccount: metadata.text('SERVICE_ACCOUNT') || 'default',
      labels,
      locality:
        locality === undefined
          ? ''
          : [locality.region, locality.zone, locality.subZone].filter(isFilled).join('/'),
      clusterId: metadata.text('CLUSTER_ID') || options.clusterId,
      host,
      ports,
      outbound,
      addresses: addresses.slice(0, ADDRESSES_MAX),
      answersNames: answersNames(metadata),
      secrets:
        kind === 'weft' ? 'ads' : metadata.text('WEFT_SECRETS') === 'static' ? 'static' : 'none',
    },
  };
}

function answersNames(metadata: MetadataReader): boolean {
  const address = metadata.text('WEFT_DNS');
  if (address !== '') return address !== 'none';
  return ['true', '1'].includes(String(metadata.value('DNS_CAPTURE')).toLowerCase());
}

function kindOf(userAgent: string): ProxyView['kind'] {
  if (userAgent === 'weft') return 'weft';
  return userAgent.toLowerCase().startsWith('grpc') ? 'grpc' : 'envoy';
}

/** `WEFT_MODE`, else Istio's `INTERCEPTION_MODE`: `NONE` means that nothing redirects packets. */
function readMode(
  kind: ProxyView['kind'],
  metadata: MetadataReader,
  hasExplicit: boolean,
): ProxyView['mode'] {
  if (kind === 'grpc') return 'proxyless';
  const asked = metadata.text('WEFT_MODE');
  if (asked === 'explicit' || asked === 'redirect') return asked;
  const interception = metadata.text('INTERCEPTION_MODE');
  switch (interception) {
    case '':
      return hasExplicit ? 'explicit' : 'redirect';
    case 'NONE':
      return 'explicit';
    case 'REDIRECT':
      return 'redirect';
    default:
      metadata.problems.push(`INTERCEPTION_MODE "${interception}" is neither REDIRECT nor NONE`);
      return 'redirect';
  }
}

/** `WEFT_OUTBOUND`, else Istio's `HTTP_PROXY_PORT` on loopback. */
function readOutbound(metadata: MetadataReader): SocketAddress | null {
  const address = metadata.text('WEFT_OUTBOUND');
  const port = metadata.text('HTTP_PROXY_PORT');
  if (address === '' && port === '') return null;
  const outbound = parseSocketAddress(address === '' ? `127.0.0.1:${port}` : address);
  if (outbound === null) {
    const wrong = address === '' ? `HTTP_PROXY_PORT "${port}"` : `WEFT_OUTBOUND "${address}"`;
    metadata.problems.push(`${wrong} is not ${address === '' ? 'a port' : 'host:port'}`);
  }
  return outbound;
}

function readPorts(value: unknown, problems: string[]): ProxyPort[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.length > PROXY_PORTS_MAX) {
    problems.push(`WEFT_PORTS is not a list of at most ${PROXY_PORTS_MAX} ports`);
    return [];
  }
  const ports: ProxyPort[] = [];
  const listening = new Set<number>();
  value.forEach((item: unknown, index) => {
    const at = `WEFT_PORTS[${index}]`;
    if (typeof item !== 'object' || item === null) {
      problems.push(`${at} is not an object`);
      return;
    }
    const port = new MetadataReader(item as Readonly<Record<string, unknown>>);
    const number = port.value('number');
    const listen = parseSocketAddress(port.text('listen'));
    const app = parseSocketAddress(port.text('app'));
    if (typeof number !== 'number' || !isPort(number)) {
      problems.push(`${at}.number is not a port`);
    } else if (ports.some((each) => each.number === number)) {
      problems.push(`${at}.number ${number} is declared twice`);
    } else if (listen === null || app === null) {
      problems.push(`${at}.${listen === null ? 'listen' : 'app'} is not host:port`);
    } else if (listening.has(listen.port)) {
      problems.push(`${at}.listen: port ${listen.port} is taken by another port`);
    } else {
      listening.add(listen.port);
      const name = port.text('name');
      ports.push({
        number,
        name,
        protocol: protocolOf(port.text('protocol'), name, number),
        listen,
        app,
      });
    }
  });
  return ports.sort((a, b) => a.number - b.number);
}

/** `127.0.0.1:9080`, `[::1]:9080`; null for anything else. Names are not resolved. */
function parseSocketAddress(text: string): SocketAddress | null {
  const address = parseListenAddress(text);
  return address === null || address.port === 0 ? null : address;
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}

function isFilled(text: string): boolean {
  return text !== '';
}

function failed(problem: string): ParsedProxyView {
  return { ok: false, problem };
}

/** Reads a Struct that came from the network: own fields only, bounded, wrong types noted. */
class MetadataReader {
  readonly problems: string[] = [];
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(fields: Readonly<Record<string, unknown>>) {
    this.#fields = fields;
  }

  value(name: string): unknown {
    return Object.hasOwn(this.#fields, name) ? this.#fields[name] : undefined;
  }

  /** '' where absent. */
  text(name: string): string {
    const value = this.value(name);
    if (value === undefined || value === null) return '';
    if (typeof value === 'string' && value.length <= 4 * TEXT_CHARS_MAX) return value;
    this.problems.push(`${name} is not a text of at most ${4 * TEXT_CHARS_MAX} characters`);
    return '';
  }

  strings(name: string): StringMap {
    const copy: Record<string, string> = Object.create(null);
    const value = this.value(name);
    if (value === undefined || value === null) return copy;
    if (typeof value !== 'object' || Object.keys(value).length > LABELS_MAX) {
      this.problems.push(`${name} is not an object of at most ${LABELS_MAX} texts`);
      return copy;
    }
    for (const [key, text] of Object.entries(value)) {
      if (typeof text === 'string' && text.length <= TEXT_CHARS_MAX) copy[key] = text;
      else
        this.problems.push(`${name}.${key.slice(0, 64)} is not a text of at most 253 characters`);
    }
    return copy;
  }
}
