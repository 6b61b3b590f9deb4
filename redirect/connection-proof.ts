import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { hasPassthroughSource } from './ipv6-source.ts';
import { openConnection, type ProbeOwner, sourceAddress } from './probe-connection.ts';
import { ListenError, listenTcp, listenUdp, type ProbeListener } from './probe-listener.ts';
import {
  freePort,
  hasPort,
  neighbourOf,
  outboundTargets,
  type ProbeTarget,
} from './probe-target.ts';
import { failed, type Proof, proven, skipped } from './proof.ts';
import type { Family, RedirectSettings } from './settings.ts';

/** All connections of one family, at the same time: each arrives at a port of its own. */
export async function proveConnections(probe: Probe): Promise<readonly Proof[]> {
  const proofs = await Promise.all([outbound, inbound, dns].map((prove) => tried(prove, probe)));
  return proofs.flat();
}

export interface Probe {
  readonly settings: RedirectSettings;
  readonly family: Family;
  /** Port of the test address. */
  readonly probePort: number;
  /** Milliseconds for each connection. */
  readonly timeoutMs: number;
}

async function tried(
  prove: (probe: Probe) => Promise<readonly Proof[]>,
  probe: Probe,
): Promise<readonly Proof[]> {
  try {
    return await prove(probe);
  } catch (error) {
    if (!(error instanceof ListenError)) throw error;
    return [failed(error.message)];
  }
}

/** An app's connection to another host arrives at the outbound port. */
async function outbound(probe: Probe): Promise<readonly Proof[]> {
  const { settings, family, probePort } = probe;
  if (isProxy(settings)) {
    return [skipped('outbound: this process has the UID of the sidecar, whose traffic passes')];
  }
  const { local, neighbours } = networks(family);
  const targets = outboundTargets(settings, family, probePort, local, neighbours);
  if (targets.length === 0)
    return [skipped('outbound: the settings leave no test address to redirect')];
  const route = await firstRoute(settings, targets);
  if (route === null) return [skipped('outbound: no route to any test address, nothing can leave')];
  return [
    await arrives(
      'outbound',
      route.target,
      route.source,
      appOwner(settings),
      settings.outboundPort,
      probe,
    ),
  ];
}

/** The sidecar's connection to its own service, over lo, arrives at the inbound port, as Istio's own check has it. */
async function inbound(probe: Probe): Promise<readonly Proof[]> {
  const { settings, family, probePort } = probe;
  if (
    settings.interfacesExcluded.some((name) => name === 'lo' || name === 'lo+' || name === 'l+')
  ) {
    return [skipped('inbound: lo is excluded')];
  }
  if (family === 'v6' && !hasPassthroughSource()) return [failed('inbound: ::6 is not on lo')];
  const owner = isProxy(settings)
    ? { uid: null, gid: null }
    : { uid: settings.proxyUids[0] ?? null, gid: settings.proxyGids[0] ?? null };
  const target = {
    address: family === 'v4' ? '127.0.0.6' : '::6',
    port: freePort(settings, probePort),
  };
  const from = family === 'v4' ? '127.0.0.1' : '::1';
  return [await arrives('inbound', target, from, owner, settings.inboundPort, probe)];
}

/** An app's questions, over UDP and TCP, arrive at the DNS port. */
async function dns(probe: Probe): Promise<readonly Proof[]> {
  const { settings, family } = probe;
  const capture = settings.dns;
  if (capture.kind === 'off') return [];
  if (isProxy(settings)) return [skipped('DNS: this process has the UID of the sidecar')];
  if (hasPort(settings.outboundPortsExcluded, 53)) return [skipped('DNS: port 53 is excluded')];
  const { neighbours, local } = networks(family);
  const addresses =
    capture.kind === 'servers'
      ? capture[family]
      : outboundTargets(
          { ...settings, outboundRanges: '*', outboundRangesExcluded: [] },
          family,
          53,
          local,
          neighbours,
        ).map(({ address }) => address);
  const route = await firstRoute(
    settings,
    addresses.map((address) => ({ address, port: 53 })),
  );
  if (route === null) {
    return addresses.length === 0 ? [] : [skipped('DNS: no route to any nameserver')];
  }
  const owner = appOwner(settings);
  const { target, source } = route;
  return [
    await datagramArrives(target, owner, capture.port, probe),
    await arrives('DNS over TCP', target, source, owner, capture.port, probe),
  ];
}

async function arrives(
  what: string,
  target: ProbeTarget,
  from: string,
  owner: ProbeOwner,
  port: number,
  { family, timeoutMs }: Probe,
): Promise<Proof> {
  const to = `${target.address.includes(':') ? `[${target.address}]` : target.address}:${target.port}`;
  const listener: ProbeListener = await listenTcp(family === 'v4' ? '127.0.0.1' : '::1', port);
  try {
    const connection = await openConnection(target, from, owner);
    if ('refused' in connection) {
      return skipped(
        `${what}: no connection as user ${owner.uid ?? 'this'}, group ${owner.gid ?? 'this'} can be made (${connection.refused}); that needs the capabilities SETUID and SETGID`,
      );
    }
    try {
      const late = deadline(timeoutMs);
      const broken = () => typeof connection.state() === 'object';
      if (await listener.arrival(connection.fromPort, () => late() || broken())) {
        const who = listener.foreign ? ', where a sidecar listens already' : '';
        return proven(`${what}: a connection to ${to} arrives at port ${port}${who}`);
      }
      const state = connection.state();
      const why =
        typeof state === 'object'
          ? `${state.failed}${state.failed === 'ENETUNREACH' ? ': is lo up?' : ''}`
          : state === 'open'
            ? 'somebody else took it'
            : `no answer within ${timeoutMs} ms`;
      return failed(
        `${what}: a connection to ${to} did not arrive at port ${port} (${why}): it is not redirected`,
      );
    } finally {
      connection.close();
    }
  } finally {
    listener.close();
  }
}

async function datagramArrives(
  target: ProbeTarget,
  owner: ProbeOwner,
  port: number,
  { family, timeoutMs }: Probe,
): Promise<Proof> {
  if (owner.uid !== null || owner.gid !== null) {
    return skipped('DNS over UDP: only tried with the group of this process');
  }
  const listener = await listenUdp(family === 'v4' ? '127.0.0.1' : '::1', port);
  const client = createSocket(family === 'v4' ? 'udp4' : 'udp6');
  client.on('error', () => {});
  try {
    if (listener.foreign) {
      return skipped(`DNS over UDP: port ${port} is taken; a sidecar runs already`);
    }
    const question = dnsQuestion();
    client.send(question, target.port, target.address, () => {});
    if (await listener.arrival(question, deadline(timeoutMs))) {
      return proven(`DNS over UDP: a question to ${target.address} arrives at port ${port}`);
    }
    return failed(
      `DNS over UDP: a question to ${target.address} did not arrive at port ${port} within ${timeoutMs} ms: it is not redirected`,
    );
  } finally {
    client.close();
    listener.close();
  }
}

/** RFC 1035 §4.1: one question for `weft.invalid` A, which no server knows (RFC 6761), under a random ID. */
function dnsQuestion(): Buffer {
  const head = [0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
  const name = [4, ...Buffer.from('weft'), 7, ...Buffer.from('invalid'), 0];
  return Buffer.concat([randomBytes(2), Buffer.from([...head, ...name, 0, 1, 0, 1])]);
}

async function firstRoute(
  settings: RedirectSettings,
  targets: readonly ProbeTarget[],
): Promise<{ readonly target: ProbeTarget; readonly source: string } | null> {
  for (const target of targets) {
    const source = await sourceAddress(target);
    if (source === null || leavesAlone(settings, source)) continue;
    return { target, source };
  }
  return null;
}

/** Whether what goes out with this address goes through an excluded interface. */
function leavesAlone({ interfacesExcluded }: RedirectSettings, source: string): boolean {
  const through = Object.entries(networkInterfaces()).find(([, addresses]) =>
    addresses?.some(({ address }) => address === source),
  )?.[0];
  return interfacesExcluded.some((name) =>
    name.endsWith('+') ? through?.startsWith(name.slice(0, -1)) === true : through === name,
  );
}

function networks(family: Family): {
  readonly local: readonly string[];
  readonly neighbours: readonly string[];
} {
  const wanted = family === 'v4' ? 'IPv4' : 'IPv6';
  const all = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter((info) => info.family === wanted);
  return {
    local: all.map(({ address }) => address),
    neighbours: all
      .filter(({ internal, scopeid }) => !internal && (scopeid ?? 0) === 0)
      .flatMap(({ cidr }) => neighbourOf(family, cidr ?? '')),
  };
}

/** With a list of groups, an app is redirected by its group. */
function appOwner({ ownerGroups: { except, gids } }: RedirectSettings): ProbeOwner {
  const own = process.getegid?.() ?? 0;
  if (except || gids.length === 0 || gids.includes(own)) return { uid: null, gid: null };
  return { uid: null, gid: gids[0]! };
}

function isProxy({ proxyUids, proxyGids }: RedirectSettings): boolean {
  return (
    proxyUids.includes(process.geteuid?.() ?? 0) || proxyGids.includes(process.getegid?.() ?? 0)
  );
}

function deadline(timeoutMs: number): () => boolean {
  const end = performance.now() + timeoutMs;
  return () => performance.now() > end;
}
