import type { Counter, Histogram } from '../observe/metric.ts';
import type { StatsRegistry } from '../observe/stats.ts';
import type { HostPort } from '../tcp/socket-address.ts';
import { DnsListeners } from './dns-listeners.ts';
import { type DnsQuery, parseQuery } from './dns-query.ts';
import {
  codeReply,
  forwardedReply,
  headerReply,
  meshReply,
  TCP_BYTES_MAX,
  udpBytesMax,
} from './dns-reply.ts';
import { FORWARDER_DEFAULTS, Forwarder } from './forwarder.ts';
import { answerFromMesh, type MeshAnswer } from './mesh-answer.ts';
import { MeshNames } from './mesh-names.ts';
import { NameServers } from './name-servers.ts';
import type { NameTableConfig } from './name-table-config.ts';
import { ResponseCode } from './record-type.ts';

export interface DnsProxyOptions {
  /** Where to answer. Beside 127.0.0.1 also ::1, where there is one. */
  readonly listen: HostPort;
  /** Asked for names that are none of the mesh; empty = those of `resolvConfPath`. */
  readonly upstreams: readonly HostPort[];
  readonly resolvConfPath: string;
  /** Whose short names hold. */
  readonly namespace: string;
  readonly stats: StatsRegistry;
  readonly log: { warn(fields: object, message: string): void };
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  /** 0 ≤ n < 1 */
  readonly random: () => number;
  readonly after: (delayMs: number, callback: () => void) => () => void;
  readonly pendingMax?: number;
  readonly upstreamTotalMs?: number;
}

/** Seconds. */
const DURATION_BOUNDS = [0.001, 0.005, 0.01, 0.1, 1, 5];

/**
 * The DNS server for one app (DS-05): names of the mesh from the table that the control plane sent, all others from the
 * name servers that the app would have asked. SERVFAIL until a table has come: an app that is told that a name does not
 * exist remembers it, one that is told of a failure asks again.
 */
export class DnsProxy {
  readonly #options: DnsProxyOptions;
  readonly #servers: NameServers;
  readonly #forwarder: Forwarder;
  readonly #listeners: DnsListeners;
  readonly #requests: Counter;
  readonly #failures: Counter;
  readonly #upstreamRequests: Counter;
  readonly #upstreamFailures: Counter;
  readonly #upstreamSeconds: Histogram;
  #names: MeshNames | null = null;
  #hasWarnedOfLoop = false;

  constructor(options: DnsProxyOptions) {
    const { listen, stats, after } = options;
    this.#options = options;
    this.#servers = new NameServers({
      configured: options.upstreams,
      path: options.resolvConfPath,
      nowMs: options.nowMs,
    });
    this.#forwarder = new Forwarder({
      servers: () => this.#servers.list(),
      after,
      pendingMax: options.pendingMax ?? FORWARDER_DEFAULTS.pendingMax,
      totalMs: options.upstreamTotalMs ?? FORWARDER_DEFAULTS.totalMs,
    });
    this.#listeners = new DnsListeners({
      address: listen,
      after,
      onUdp: (message, port, reply) => this.#onMessage(message, port, reply),
      onTcp: (message, reply) => this.#onMessage(message, 0, reply),
      onTrouble: (error) => options.log.warn({ error: error.message }, 'a DNS socket failed'),
    });
    // Istio's agent calls them so.
    const counter = (name: string, help: string) => stats.counter(`istio_agent_${name}`, help);
    this.#requests = counter('dns_requests_total', 'DNS requests of the app');
    this.#failures = counter('dns_failures_total', 'DNS requests of the app answered by an error');
    this.#upstreamRequests = counter('dns_upstream_requests_total', 'DNS requests forwarded');
    this.#upstreamFailures = counter(
      'dns_upstream_failures_total',
      'DNS requests forwarded that no name server answered',
    );
    this.#upstreamSeconds = stats.histogram(
      'istio_agent_dns_upstream_request_duration_seconds',
      'Time until a name server answered',
      DURATION_BOUNDS,
    );
  }

  /** The first table has come. */
  get isReady(): boolean {
    return this.#names !== null;
  }

  /** Questions that wait for a name server. */
  get pending(): number {
    return this.#forwarder.pending;
  }

  /** Resolves with the addresses that it answers at. Rejects where the one that was asked for cannot be had. */
  async listen(): Promise<readonly HostPort[]> {
    const addresses = await this.#listeners.open();
    this.#servers.setOwn(addresses);
    return addresses;
  }

  setTable(table: NameTableConfig): void {
    this.#names = new MeshNames(table, this.#options.namespace);
  }

  async close(): Promise<void> {
    this.#forwarder.close();
    await this.#listeners.close();
  }

  /** `port`: where a packet came from, 0 over TCP. */
  #onMessage(message: Buffer, port: number, reply: (bytes: Buffer | null) => void): void {
    const parsed = parseQuery(message);
    if (parsed.kind === 'ignored') {
      reply(null);
      return;
    }
    this.#requests.add(1);
    if (parsed.kind === 'refused') {
      this.#failures.add(1);
      reply(headerReply(parsed.id, parsed.flags, parsed.code));
    } else if (port !== 0 && this.#forwarder.isOwn(port, parsed.query.id)) {
      this.#warnOfLoop();
      reply(null);
    } else {
      this.#answer(parsed.query, port === 0, reply);
    }
  }

  #answer(query: DnsQuery, overTcp: boolean, reply: (bytes: Buffer) => void): void {
    const bytesMax = overTcp ? TCP_BYTES_MAX : udpBytesMax(query);
    const fail = (code: number): void => {
      this.#failures.add(1);
      reply(codeReply(query, code));
    };
    const answer = this.#judge(query);
    switch (answer.kind) {
      case 'records':
        reply(meshReply(query, answer.answers, answer.additionals, bytesMax));
        break;
      case 'code':
        fail(answer.code);
        break;
      case 'forward':
        this.#forward(query, overTcp, (response) => {
          const code = response === null ? ResponseCode.SERVFAIL : response[3]! & 0xf;
          if (response === null) fail(code);
          // The name is there, whatever the name server makes of it: at most it has no such record.
          else if (answer.isOfMesh && code === ResponseCode.NXDOMAIN) {
            reply(meshReply(query, [], [], bytesMax));
          } else {
            if (code === ResponseCode.SERVFAIL) this.#failures.add(1);
            reply(forwardedReply(query, response, bytesMax));
          }
        });
    }
  }

  #judge(query: DnsQuery): MeshAnswer {
    if (query.edns !== null && query.edns.version !== 0) return BAD_VERSION;
    if (this.#names === null) return NOT_READY;
    return answerFromMesh(query, this.#names, this.#servers.searchDomain(), this.#options.random);
  }

  #forward(query: DnsQuery, overTcp: boolean, done: (response: Buffer | null) => void): void {
    const startedMs = this.#options.nowMs();
    this.#upstreamRequests.add(1);
    this.#forwarder.forward(query, overTcp, (response) => {
      if (response === null) this.#upstreamFailures.add(1);
      else this.#upstreamSeconds.observe((this.#options.nowMs() - startedMs) / 1000);
      done(response);
    });
  }

  #warnOfLoop(): void {
    if (this.#hasWarnedOfLoop) return;
    this.#hasWarnedOfLoop = true;
    this.#options.log.warn(
      {},
      'a DNS request that this sidecar sent to a name server came back to it: its own traffic is redirected; run it as the user that the redirect rules leave alone (1337), or name the server in WEFT_DNS_UPSTREAM',
    );
  }
}

const BAD_VERSION: MeshAnswer = Object.freeze({ kind: 'code', code: ResponseCode.BADVERS });
const NOT_READY: MeshAnswer = Object.freeze({ kind: 'code', code: ResponseCode.SERVFAIL });
