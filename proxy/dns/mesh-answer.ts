import type { DnsQuery } from './dns-query.ts';
import type { ReplyRecord } from './dns-reply.ts';
import type { FoundName, MeshNames } from './mesh-names.ts';
import type { NamedHost } from './name-table-config.ts';
import { CLASS_IN, RecordType, ResponseCode } from './record-type.ts';

export type MeshAnswer =
  | {
      readonly kind: 'records';
      readonly answers: readonly ReplyRecord[];
      readonly additionals: readonly ReplyRecord[];
    }
  /** A name server knows. `isOfMesh`: the name exists, whatever it says. */
  | { readonly kind: 'forward'; readonly isOfMesh: boolean }
  /** An error. */
  | { readonly kind: 'code'; readonly code: number };

/**
 * What the mesh has to say to a question. A name of the mesh exists for every type: one that it has no record of is
 * answered empty, never with NXDOMAIN, or a client that asks for A and AAAA at once would take the name for absent.
 */
export function answerFromMesh(
  query: DnsQuery,
  names: MeshNames,
  searchDomain: string,
  random: () => number,
): MeshAnswer {
  const { name, type } = query;
  // Transfers of zones are many messages, and no app's business.
  if (type === RecordType.AXFR || type === RecordType.IXFR) return REFUSED;
  if (name === '' || query.class !== CLASS_IN) return FORWARD;
  const found = names.find(name, searchDomain);
  if (type === RecordType.SRV) {
    const answer = serviceAnswer(name, names, searchDomain, random);
    if (answer !== null) return answer;
  }
  if (found === null) return FORWARD;
  const { host } = found;
  switch (type) {
    case RecordType.A:
      return records(found, addressRecords(host, 'A', ownerOf(found), random));
    case RecordType.AAAA:
      return records(found, addressRecords(host, 'AAAA', ownerOf(found), random));
    case RecordType.ANY:
      return records(found, [
        ...addressRecords(host, 'A', ownerOf(found), random),
        ...addressRecords(host, 'AAAA', ownerOf(found), random),
      ]);
    case RecordType.CNAME:
      if (found.canonicalName !== '') return records(found, [], true);
      break;
    case RecordType.HTTPS:
    case RecordType.SVCB:
      return EMPTY;
  }
  // Outside of the mesh a name may well have mail servers and texts; a service of the mesh has none.
  return isOfCluster(host) ? EMPTY : FORWARD_KNOWN;
}

/** `_http._tcp.reviews…`: the port of that name. Null where no service of the mesh is meant. */
function serviceAnswer(
  name: string,
  names: MeshNames,
  searchDomain: string,
  random: () => number,
): MeshAnswer | null {
  const match = /^_([^.]+)\._(tcp|udp)\.(.+)$/.exec(name);
  if (match === null) return null;
  const found = names.find(match[3]!, searchDomain);
  if (found === null) return null;
  const { host } = found;
  const port = host.ports.find((each) => each.name === match[1] && each.protocol === match[2]);
  if (port === undefined) return isOfCluster(host) ? EMPTY : FORWARD_KNOWN;
  // A wildcard is asked for under a name of its own.
  const target = host.host.startsWith('*') ? found.canonicalName || match[3]! : host.host;
  return {
    kind: 'records',
    answers: [{ owner: '', type: 'SRV', data: { port: port.number, target } }],
    additionals: [
      ...addressRecords(host, 'A', target, random),
      ...addressRecords(host, 'AAAA', target, random),
    ],
  };
}

/** The CNAME first, where a search domain stood behind the name. Nothing to say is said without it. */
function records(found: FoundName, own: readonly ReplyRecord[], isEnough = false): MeshAnswer {
  if (own.length === 0 && !isEnough) return EMPTY;
  const { canonicalName } = found;
  const alias: ReplyRecord[] =
    canonicalName === '' ? [] : [{ owner: '', type: 'CNAME', data: canonicalName }];
  return { kind: 'records', answers: [...alias, ...own], additionals: [] };
}

function ownerOf({ canonicalName }: FoundName): string {
  return canonicalName;
}

/** Shuffled, so that clients that take the first one spread themselves. */
function addressRecords(
  { v4, v6 }: NamedHost,
  type: 'A' | 'AAAA',
  owner: string,
  random: () => number,
): ReplyRecord[] {
  const addresses = [...(type === 'A' ? v4 : v6)];
  for (let last = addresses.length - 1; last > 0; last--) {
    const at = Math.floor(random() * (last + 1));
    [addresses[last], addresses[at]] = [addresses[at]!, addresses[last]!];
  }
  return addresses.map((data) => ({ owner, type, data }));
}

function isOfCluster({ shortname }: NamedHost): boolean {
  return shortname !== '';
}

const REFUSED: MeshAnswer = Object.freeze({ kind: 'code', code: ResponseCode.REFUSED });
const EMPTY: MeshAnswer = Object.freeze({ kind: 'records', answers: [], additionals: [] });
const FORWARD: MeshAnswer = Object.freeze({ kind: 'forward', isOfMesh: false });
const FORWARD_KNOWN: MeshAnswer = Object.freeze({ kind: 'forward', isOfMesh: true });
