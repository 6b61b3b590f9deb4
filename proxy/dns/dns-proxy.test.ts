import { createSocket } from 'node:dgram';
import { connect, createServer, type Socket } from 'node:net';
import { encode } from 'dns-packet';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { freePorts } from '../../cli/run/free-port.ts';
import { until } from '../../test/harness/until.ts';
import { StatsRegistry } from '../observe/stats.ts';
import type { HostPort } from '../tcp/socket-address.ts';
import {
  answered,
  askTcp,
  askUdp,
  type FakeNameServer,
  fakeNameServer,
  framed,
  nameTable,
  question,
  told,
} from './dns.testing.ts';
import { DnsProxy, type DnsProxyOptions } from './dns-proxy.ts';
import { parseQuery } from './dns-query.ts';
import { FORWARDER_DEFAULTS, Forwarder } from './forwarder.ts';

const runs = { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 300) };

const toClose: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of toClose.splice(0).reverse()) await close();
});

const REVIEWS = 'reviews.default.svc.cluster.local';
const TABLE = nameTable({
  [REVIEWS]: ['240.240.0.7'],
  'ratings.shop.svc.cluster.local': ['240.240.0.8', '2001:2::8'],
  'six.example.com': ['2001:db8::6'],
  '*.wild.example.com': ['10.0.0.9'],
  'many.example.com': Array.from({ length: 60 }, (_, n) => `10.1.0.${n}`),
});

interface Started {
  readonly dns: DnsProxy;
  readonly at: HostPort;
  readonly stats: StatsRegistry;
  readonly warnings: string[];
  readonly addresses: readonly HostPort[];
}

async function start(
  upstreams: readonly (FakeNameServer | HostPort)[] = [],
  options: Partial<DnsProxyOptions> & { table?: typeof TABLE | null } = {},
): Promise<Started> {
  const stats = new StatsRegistry();
  const warnings: string[] = [];
  const dns = new DnsProxy({
    listen: { host: '127.0.0.1', port: 0 },
    upstreams: upstreams.map((each) => ('address' in each ? each.address : each)),
    resolvConfPath: '/nowhere/resolv.conf',
    namespace: 'default',
    stats,
    log: { warn: (_fields, message) => void warnings.push(message) },
    nowMs: () => performance.now(),
    random: Math.random,
    after: (delayMs, callback) => {
      const timer = setTimeout(callback, delayMs);
      return () => clearTimeout(timer);
    },
    ...options,
  });
  toClose.push(() => dns.close());
  const addresses = await dns.listen();
  if (options.table !== null) dns.setTable(options.table ?? TABLE);
  return { dns, at: addresses[0]!, stats, warnings, addresses };
}

async function nameServer(...args: Parameters<typeof fakeNameServer>): Promise<FakeNameServer> {
  const server = await fakeNameServer(...args);
  toClose.push(() => server.close());
  return server;
}

async function ask(at: HostPort, ...args: Parameters<typeof question>) {
  const answer = await askUdp(at, question(...args));
  if (answer === null) throw new Error(`no answer to ${args[0]}`);
  return told(answer);
}

function metric(stats: StatsRegistry, name: string): number {
  const [series] = stats.families.get(`istio_agent_${name}`)?.series.values() ?? [];
  const found = series?.metric as { value?: number; count?: number } | undefined;
  return found?.value ?? found?.count ?? Number.NaN;
}

/** A UDP port on which nobody answers. */
async function silentServer(): Promise<HostPort & { received: number }> {
  const socket = createSocket('udp4');
  await new Promise<void>((done) => socket.bind(0, '127.0.0.1', done));
  toClose.push(() => new Promise<void>((done) => socket.close(done)));
  const server = { host: '127.0.0.1', port: socket.address().port, received: 0 };
  socket.on('message', () => {
    server.received++;
  });
  return server;
}

/** A UDP port that refuses. */
async function closedServer(): Promise<HostPort> {
  const socket = createSocket('udp4');
  await new Promise<void>((done) => socket.bind(0, '127.0.0.1', done));
  const { port } = socket.address();
  await new Promise<void>((done) => socket.close(done));
  return { host: '127.0.0.1', port };
}

// --- Names of the mesh --------------------------------------------------------------------------

test('[DS-05] a name of the mesh is answered from the table, with 30 s to live', async () => {
  const { at } = await start();
  expect(await ask(at, 'Reviews')).toMatchObject({
    id: 0x1234,
    code: 'NOERROR',
    isOwn: true,
    isCut: false,
    questions: ['Reviews A'],
    answers: ['Reviews A 240.240.0.7'],
    ttls: [30],
    hasEdns: false,
  });
});

test.each([
  ['reviews', 'AAAA', []],
  ['six.example.com', 'A', []],
  ['six.example.com', 'AAAA', ['six.example.com AAAA 2001:db8::6']],
  ['ratings.shop', 'AAAA', ['ratings.shop AAAA 2001:2::8']],
  ['ratings.shop', 'ANY', ['ratings.shop A 240.240.0.8', 'ratings.shop AAAA 2001:2::8']],
  ['x.wild.example.com', 'A', ['x.wild.example.com A 10.0.0.9']],
  ['reviews', 'MX', []],
  ['reviews', 'TXT', []],
  ['reviews', 'HTTPS', []],
  ['six.example.com', 'HTTPS', []],
  ['_nothing._tcp.reviews', 'SRV', []],
])('[DS-05] %s %s: NOERROR, whether there is such a record or not', async (name, type, answers) => {
  const { at } = await start();
  const query = type === 'HTTPS' ? withType(question(name), 65) : question(name, type);
  expect(told((await askUdp(at, query))!)).toMatchObject({ code: 'NOERROR', answers });
});

function withType(query: Buffer, type: number): Buffer {
  query.writeUInt16BE(type, query.length - 4);
  return query;
}

test('[DS-05] SRV gives the port of that name, and the addresses with it', async () => {
  const { at } = await start();
  expect(await ask(at, `_http._tcp.${REVIEWS}`, 'SRV')).toMatchObject({
    answers: [
      `_http._tcp.${REVIEWS} SRV {"priority":0,"weight":100,"port":9080,"target":"${REVIEWS}"}`,
    ],
    additionals: [`${REVIEWS} A 240.240.0.7`],
  });
});

test('[DS-05] the answers come in another order each time', async () => {
  const { at } = await start();
  const firsts = new Set<string>();
  for (let n = 0; n < 20; n++) {
    const { answers } = await ask(at, 'many.example.com', 'A', { ednsBytes: 4096 });
    expect(new Set(answers).size).toBe(60);
    firsts.add(answers[0]!);
  }
  expect(firsts.size).toBeGreaterThan(5);
});

test('[DS-05] an answer that is too long for the client over UDP is cut and says so; over TCP it is whole', async () => {
  const { at } = await start();
  const plain = (await askUdp(at, question('many.example.com')))!;
  expect(plain.length).toBeLessThanOrEqual(512);
  expect(told(plain)).toMatchObject({ isCut: true, hasEdns: false });
  const medium = (await askUdp(at, question('many.example.com', 'A', { ednsBytes: 800 })))!;
  expect(medium.length).toBeLessThanOrEqual(800);
  expect(told(medium)).toMatchObject({ isCut: true, hasEdns: true });
  const small = (await askUdp(at, question('many.example.com', 'A', { ednsBytes: 100 })))!;
  expect(small.length).toBeGreaterThan(450);
  const [whole] = await askTcp(at, framed(question('many.example.com')));
  expect(told(whole!).isCut).toBe(false);
  expect(told(whole!).answers).toHaveLength(60);
});

test('[DS-05] SERVFAIL until the first table has come, for every name', async () => {
  const server = await nameServer((query) => [answered(query, ['1.2.3.4'])]);
  const { dns, at } = await start([server], { table: null });
  expect(dns.isReady).toBe(false);
  expect(await ask(at, 'reviews')).toMatchObject({ code: 'SERVFAIL', answers: [] });
  expect(await ask(at, 'www.example.org')).toMatchObject({ code: 'SERVFAIL' });
  expect(server.asked).toEqual([]);
  dns.setTable(TABLE);
  expect(dns.isReady).toBe(true);
  expect(await ask(at, 'reviews')).toMatchObject({ code: 'NOERROR' });
});

test('[DS-05] a new table is in force at once, and a name that went is left to the name server', async () => {
  const server = await nameServer((query) => [answered(query, ['1.2.3.4'])]);
  const { dns, at } = await start([server]);
  dns.setTable(nameTable({ [REVIEWS]: ['240.240.0.99'] }));
  expect((await ask(at, 'reviews')).answers).toEqual(['reviews A 240.240.0.99']);
  expect((await ask(at, 'ratings.shop')).answers).toEqual(['ratings.shop A 1.2.3.4']);
});

test('it answers on ::1 too, where there is one', async () => {
  const { addresses } = await start();
  const v6 = addresses.find(({ host }) => host === '::1');
  if (v6 === undefined) return; // this machine has no IPv6
  expect(v6.port).toBe(addresses[0]!.port);
  expect((await ask(v6, 'reviews')).answers).toEqual(['reviews A 240.240.0.7']);
  expect(await askTcp(v6, framed(question('reviews')))).toHaveLength(1);
});

test('an address that is taken is an error, not silence', async () => {
  const { at } = await start();
  await expect(start([], { listen: at })).rejects.toMatchObject({ code: 'EADDRINUSE' });
});

// --- Other names --------------------------------------------------------------------------------

test('[DS-05] other names are asked of the name server, with another id and from another port each time', async () => {
  const server = await nameServer((query) => [answered(query, ['93.184.216.34'])]);
  const { at, stats } = await start([server]);
  for (let n = 0; n < 8; n++) {
    expect(await ask(at, 'www.Example.org', 'A', { id: 77 })).toMatchObject({
      id: 77,
      code: 'NOERROR',
      isOwn: false,
      answers: ['www.Example.org A 93.184.216.34'],
      ttls: [7],
    });
  }
  expect(new Set(server.packets.map(({ bytes }) => bytes.readUInt16BE(0))).size).toBeGreaterThan(4);
  expect(new Set(server.packets.map(({ port }) => port)).size).toBeGreaterThan(4);
  expect(metric(stats, 'dns_requests_total')).toBe(8);
  expect(metric(stats, 'dns_upstream_requests_total')).toBe(8);
  expect(metric(stats, 'dns_upstream_failures_total')).toBe(0);
  expect(metric(stats, 'dns_upstream_request_duration_seconds')).toBe(8);
});

test('[DS-05] NXDOMAIN comes from the name server alone, and never for a name of the mesh', async () => {
  const server = await nameServer((query) => [answered(query, [], 0x0183)]);
  const { at } = await start([server]);
  expect(await ask(at, 'nobody.example.org')).toMatchObject({ code: 'NXDOMAIN' });
  expect(await ask(at, 'six.example.com', 'MX')).toMatchObject({ code: 'NOERROR', answers: [] });
  expect(server.asked).toEqual(['nobody.example.org A udp', 'six.example.com MX udp']);
});

test('[DS-05] PTR and names that DNS alone can spell are forwarded as they came', async () => {
  const server = await nameServer((query) => {
    const echo = Buffer.from(query);
    echo[2]! |= 0x80;
    return [echo];
  });
  const { at } = await start([server]);
  expect(await ask(at, '7.0.240.240.in-addr.arpa', 'PTR')).toMatchObject({ code: 'NOERROR' });
  const odd = Buffer.concat([
    question('x').subarray(0, 12),
    Buffer.from([2, 0xe4, 0xff, 0, 0, 1, 0, 1]),
  ]);
  const answer = (await askUdp(at, odd))!;
  expect(answer.subarray(12, 20)).toEqual(odd.subarray(12));
});

test('[DS-05] a zone transfer is refused', async () => {
  const { at } = await start();
  const [answer] = await askTcp(at, framed(question('reviews', 'AXFR')));
  expect(told(answer!)).toMatchObject({ code: 'REFUSED' });
});

test('[DS-05] a server that refuses hands over to the next one at once', async () => {
  const server = await nameServer((query) => [answered(query, ['1.2.3.4'])]);
  const { at } = await start([await closedServer(), server], { upstreamTotalMs: 60_000 });
  expect((await ask(at, 'a.example.org')).answers).toEqual(['a.example.org A 1.2.3.4']);
});

test('[DS-05] a server that is silent hands over to the next one in time', async () => {
  const server = await nameServer((query) => [answered(query, ['1.2.3.4'])]);
  const { at } = await start([await silentServer(), server], { upstreamTotalMs: 400 });
  expect((await ask(at, 'a.example.org')).answers).toEqual(['a.example.org A 1.2.3.4']);
});

test('[DS-05] a server that fails hands over; where all fail the client hears what was said', async () => {
  const failing = await nameServer((query) => [answered(query, [], 0x0182)]);
  const refusing = await nameServer((query) => [answered(query, [], 0x0185)]);
  const good = await nameServer((query) => [answered(query, ['1.2.3.4'])]);
  const { at } = await start([failing, refusing, good]);
  expect(await ask(at, 'a.example.org')).toMatchObject({ code: 'NOERROR' });
  const bad = await start([failing, refusing]);
  expect(await ask(bad.at, 'a.example.org')).toMatchObject({ code: 'SERVFAIL' });
  expect(metric(bad.stats, 'dns_failures_total')).toBe(1);
});

test('[DS-05] one server is asked a second time, and a packet that is lost costs half of the time', async () => {
  let packets = 0;
  const server = await nameServer((query) =>
    ++packets === 1 ? null : [answered(query, ['1.2.3.4'])],
  );
  const { at } = await start([server], { upstreamTotalMs: 400 });
  expect((await ask(at, 'a.example.org')).answers).toEqual(['a.example.org A 1.2.3.4']);
  expect(packets).toBe(2);
});

test('[DS-05] where nobody answers the client hears SERVFAIL when the time is over', async () => {
  const silent = await silentServer();
  const { at, stats } = await start([silent], { upstreamTotalMs: 200 });
  expect(await ask(at, 'a.example.org')).toMatchObject({ code: 'SERVFAIL' });
  expect(silent.received).toBe(2);
  expect(metric(stats, 'dns_upstream_failures_total')).toBe(1);
  expect(metric(stats, 'dns_failures_total')).toBe(1);
});

test('[DS-05] an answer that was cut is passed on over UDP, and asked for again over TCP for a client over TCP', async () => {
  const server = await nameServer((query, over) => [
    over === 'udp' ? answered(query, [], 0x0380) : answered(query, ['1.2.3.4', '1.2.3.5']),
  ]);
  const { at } = await start([server]);
  expect(await ask(at, 'a.example.org')).toMatchObject({ isCut: true, answers: [] });
  const [whole] = await askTcp(at, framed(question('a.example.org')));
  expect(told(whole!)).toMatchObject({ isCut: false });
  expect(told(whole!).answers).toHaveLength(2);
  expect(server.asked).toEqual([
    'a.example.org A udp',
    'a.example.org A udp',
    'a.example.org A tcp',
  ]);
});

test('[DS-05] a server that says something else over TCP is not waited for', async () => {
  const server = await nameServer((query, over) => {
    const cut = answered(query, [], 0x0380);
    return over === 'udp' ? [cut] : [answered(question('b.example.org'), ['6.6.6.6'])];
  });
  const { at } = await start([server], { upstreamTotalMs: 60_000 });
  const [answer] = await askTcp(at, framed(question('a.example.org')));
  expect(told(answer!)).toMatchObject({ isCut: true, answers: [] });
});

test('[DS-05] an answer that is longer than the client takes is cut for it', async () => {
  const long = Array.from({ length: 60 }, (_, n) => `10.2.0.${n}`);
  const server = await nameServer((query) => [answered(query, long)]);
  const { at } = await start([server]);
  expect(await ask(at, 'a.example.org')).toMatchObject({ isCut: true, answers: [] });
  const roomy = await ask(at, 'a.example.org', 'A', { ednsBytes: 4096 });
  expect(roomy.answers).toHaveLength(60);
});

test('[A4.4] answers with another id, another question, or none are a guess and are passed over', async () => {
  const server = await nameServer((query) => {
    const right = answered(query, ['1.2.3.4']);
    const wrongId = Buffer.from(right);
    wrongId.writeUInt16BE((right.readUInt16BE(0) + 1) & 0xffff, 0);
    const id = query.readUInt16BE(0);
    const other = answered(question('b.example.org', 'A', { id }), ['6.6.6.6']);
    const echo = Buffer.from(query);
    return [Buffer.alloc(0), Buffer.from('x'), wrongId, other, echo, right.subarray(0, 20), right];
  });
  const { at } = await start([server]);
  expect((await ask(at, 'a.example.org')).answers).toEqual(['a.example.org A 1.2.3.4']);
});

test('[A4.4] nobody but the server that was asked is listened to', async () => {
  let spoof: (to: number, bytes: Buffer) => Promise<void> = async () => {};
  const server = await nameServer(() => null);
  const attacker = createSocket('udp4');
  await new Promise<void>((done) => attacker.bind(0, '127.0.0.1', done));
  toClose.push(() => new Promise<void>((done) => attacker.close(done)));
  spoof = (to, bytes) => new Promise((done) => attacker.send(bytes, to, '127.0.0.1', () => done()));
  const { at } = await start([server], { upstreamTotalMs: 400 });
  const answer = ask(at, 'a.example.org');
  while (server.packets.length === 0) await new Promise((done) => setImmediate(done));
  const { bytes, port } = server.packets[0]!;
  await spoof(port, answered(bytes, ['6.6.6.6']));
  expect(await answer).toMatchObject({ code: 'SERVFAIL', answers: [] });
});

test('[DS-05] many questions that wait: the oldest is given up for the newest', async () => {
  const silent = await silentServer();
  const { at, dns } = await start([silent], { pendingMax: 4, upstreamTotalMs: 60_000 });
  const answers = Array.from({ length: 6 }, (_, n) => ask(at, `a${n}.example.org`));
  const [first, second] = await Promise.all(answers.slice(0, 2));
  expect([first!.code, second!.code]).toEqual(['SERVFAIL', 'SERVFAIL']);
  expect(dns.pending).toBe(4);
  const closed = dns.close();
  await closed;
  void Promise.allSettled(answers);
});

test('[DS-05] it never asks itself: a name server that is its own address is passed over', async () => {
  const [port] = await freePorts(1);
  const address = { host: '127.0.0.1', port: port! };
  const { at, stats } = await start([address], { listen: address });
  expect(await ask(at, 'a.example.org')).toMatchObject({ code: 'SERVFAIL' });
  expect(metric(stats, 'dns_requests_total')).toBe(1);
});

test('[DS-05] a question of its own that comes back, as redirection may do, is known and given up', async () => {
  const server = await nameServer(() => null);
  const forwarder = new Forwarder({
    servers: () => [server.address],
    after: () => () => {},
    ...FORWARDER_DEFAULTS,
  });
  const parsed = parseQuery(question('a.example.org'));
  if (parsed.kind !== 'query') throw new Error(parsed.kind);
  const answer = new Promise((done) => forwarder.forward(parsed.query, false, done));
  while (server.packets.length === 0) await new Promise((done) => setImmediate(done));
  const { bytes, port } = server.packets[0]!;
  const id = bytes.readUInt16BE(0);
  expect(forwarder.isOwn(port, id ^ 1)).toBe(false);
  expect(forwarder.isOwn(port ^ 1, id)).toBe(false);
  expect(forwarder.isOwn(port, id)).toBe(true);
  expect(await answer).toBe(null);
  expect(forwarder.pending).toBe(0);
});

// --- Bad clients --------------------------------------------------------------------------------

test('fuzz [A1] any datagram leaves the server answering', async () => {
  const { at, dns } = await start();
  const socket = createSocket('udp4');
  toClose.push(() => new Promise<void>((done) => socket.close(done)));
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
      await new Promise<void>((done) => socket.send(bytes, at.port, at.host, () => done()));
    }),
    runs,
  );
  // The datagrams before may have filled the socket's buffer: what finds no room is lost.
  let answer: Buffer | null = null;
  for (let n = 0; n < 10 && answer === null; n++) {
    answer = await askUdp(at, question('reviews'), 1_000);
  }
  expect(told(answer!).answers).toHaveLength(1);
  expect(dns.pending).toBeLessThanOrEqual(512);
});

test('fuzz [A1] any stream of bytes leaves the server answering', async () => {
  const { at } = await start();
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 4 }),
      async (writes) => {
        await askTcp(at, ...writes.map((bytes) => Buffer.from(bytes))).catch(() => []);
      },
    ),
    { numRuns: Math.min(runs.numRuns, 500) },
  );
  expect(await askTcp(at, framed(question('reviews')))).toHaveLength(1);
}, 60_000);

test('a response is not answered, or two servers could be set on each other', async () => {
  const { at } = await start();
  expect(await askUdp(at, answered(question('reviews'), ['1.2.3.4']), 100)).toBe(null);
});

test.each([
  [
    'two questions',
    encode({
      id: 9,
      questions: [
        { type: 'A', name: 'a' },
        { type: 'A', name: 'b' },
      ],
    }),
    'FORMERR',
  ],
  ['an update', question('reviews', 'A', { flags: 0x2800 }), 'NOTIMP'],
  ['EDNS of another version', edns1(), 'BADVERS'],
])('%s is an error', async (_, bytes, code) => {
  const { at, stats } = await start();
  const answer = (await askUdp(at, bytes))!;
  if (code === 'BADVERS') {
    // Its upper eight bits stand in the OPT record.
    expect([answer[3]! & 0xf, answer[answer.length - 6]]).toEqual([0, 1]);
  } else expect(told(answer).code).toBe(code);
  expect(metric(stats, 'dns_failures_total')).toBe(1);
});

function edns1(): Buffer {
  const bytes = question('reviews', 'A', { ednsBytes: 1232 });
  bytes[bytes.length - 5] = 1;
  return bytes;
}

test('many questions of one connection are answered, in whatever pieces they come', async () => {
  const { at } = await start();
  const all = Buffer.concat(
    Array.from({ length: 100 }, (_, id) => framed(question('reviews', 'A', { id }))),
  );
  const pieces: Buffer[] = [];
  for (let start = 0; start < all.length; start += 7) pieces.push(all.subarray(start, start + 7));
  const answers = await askTcp(at, ...pieces);
  expect(answers.map((answer) => told(answer).id)).toEqual(
    Array.from({ length: 100 }, (_, id) => id),
  );
});

test('a connection that announces a question of 64 KiB is closed', async () => {
  const { at } = await start();
  expect(await askTcp(at, Buffer.from([0xff, 0xff, 1, 2])).catch(() => [])).toEqual([]);
});

test('[A1.5] clients that trickle a question are cut off, and keep nobody out before', async () => {
  const timers = new Set<() => void>();
  const { at } = await start([], {
    after: (_delayMs, callback) => {
      timers.add(callback);
      return () => timers.delete(callback);
    },
  });
  const open: Socket[] = [];
  let closed = 0;
  for (let n = 0; n < 200; n++) {
    const socket = connect(at.port, at.host);
    socket.on('error', () => {}).on('close', () => closed++);
    await new Promise((done) => socket.once('connect', done));
    socket.write(Buffer.from([0, 17, 1]));
    open.push(socket);
  }
  // The oldest ones had to go.
  await until('72 to be closed', () => closed === 72);
  expect(open.slice(0, 72).every(({ destroyed }) => destroyed)).toBe(true);
  expect(await askTcp(at, framed(question('reviews')))).toHaveLength(1);
  open.at(-1)!.write(Buffer.from([2]));
  for (const callback of [...timers]) callback();
  await until('all to be closed', () => closed === 200);
  expect(await askTcp(at, framed(question('reviews')))).toHaveLength(1);
});

test('a client that reads no answers is cut off', async () => {
  const { at } = await start();
  const many = framed(question('many.example.com'));
  const flood = Buffer.concat(Array.from({ length: 1_000 }, () => many));
  const socket = connect(at.port, at.host);
  socket.pause();
  const closed = new Promise((done) => socket.on('error', () => {}).on('close', done));
  const write = (error?: Error | null): void => {
    if (!error) socket.write(flood, write);
  };
  write();
  await closed;
  expect((await ask(at, 'reviews')).answers).toHaveLength(1);
});

test('it closes with questions under way and connections open', async () => {
  const silent = await silentServer();
  const { at, dns } = await start([silent], { upstreamTotalMs: 60_000 });
  const socket = connect(at.port, at.host);
  const closed = new Promise((done) => socket.on('error', () => {}).on('close', done));
  socket.resume();
  socket.write(framed(question('a.example.org')));
  while (dns.pending === 0) await new Promise((done) => setImmediate(done));
  await dns.close();
  await closed;
  const again = createServer();
  await new Promise<void>((done) => again.listen(at.port, at.host, done));
  await new Promise((done) => again.close(done));
});
