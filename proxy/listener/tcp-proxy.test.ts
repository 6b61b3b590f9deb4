import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, test } from 'vitest';
import { ResponseFlag } from '../observe/request-record.ts';
import { ManualClock } from '../tcp/manual-clock.testing.ts';
import { TimerLists } from '../tcp/timer-list.ts';
import { closedPort, loopback } from '../upstream/cluster.testing.ts';
import {
  bind,
  Client,
  clusterConfig,
  listenerConfig,
  listenerManager,
  RecordingLog,
  tcpChain,
} from './listener.testing.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

function setup(change: Parameters<typeof listenerManager>[0] = {}) {
  const all = listenerManager(change);
  cleanups.push(
    () => all.manager.destroy(),
    () => all.clusters.close(),
  );
  return all;
}

async function serve(onSocket: Parameters<typeof loopback>[0]) {
  const server = await loopback(onSocket);
  cleanups.push(() => server.close());
  return server;
}

function clientTo(port: number): Client {
  const made = Client.to(port);
  cleanups.push(() => made.socket.destroy());
  return made;
}

const ONE = [{ name: 'app', weight: 1 }];

describe('TcpProxy', () => {
  test('[PR-11] bytes both ways, half-close preserved, one log line with the counts', async () => {
    const server = await serve((socket) => {
      const chunks: Buffer[] = [];
      socket.on('data', (bytes: Buffer) => chunks.push(bytes));
      socket.on('end', () => socket.end(`got ${Buffer.concat(chunks).toString()}`));
    });
    const log = new RecordingLog();
    const { manager, clusters } = setup();
    clusters.setCluster(clusterConfig([{ port: server.port }], { name: 'app' }));
    const port = await bind(manager, listenerConfig([tcpChain(ONE, { accessLogs: [log] })]));
    const client = clientTo(port);
    client.socket.write('half ');
    client.socket.end('question');
    await client.until(() => client.ended);
    expect(client.text).toBe('got half question');
    await log.until(() => log.records.length > 0);
    expect(log.records).toHaveLength(1);
    expect(log.records[0]).toMatchObject({
      bytesReceived: 13,
      bytesSent: 17,
      flags: 0,
      upstreamCluster: 'app',
      upstreamHost: `127.0.0.1:${server.port}`,
      attempts: 1,
    });
    expect(clusters.get('app')!.breaker.connections).toBe(0);
  });

  test('[PR-03] a server may speak first', async () => {
    const server = await serve((socket) => socket.write('220 hello\r\n'));
    const { manager, clusters } = setup();
    clusters.setCluster(clusterConfig([{ port: server.port }], { name: 'app' }));
    const client = clientTo(await bind(manager, listenerConfig([tcpChain(ONE)])));
    await client.until(() => client.text === '220 hello\r\n');
  });

  test.each([
    ['UF', ResponseFlag.UF, 'refused'],
    ['UH', ResponseFlag.UH, 'empty'],
    ['NC', ResponseFlag.NC, 'missing'],
    ['UO', ResponseFlag.UO, 'full'],
  ])('[OB-08] %s closes the connection and stands in the log', async (_name, flag, kind) => {
    const log = new RecordingLog();
    const { manager, clusters } = setup();
    const endpoints = kind === 'empty' ? [] : [{ port: await closedPort() }];
    if (kind !== 'missing') {
      const connectionsMax = kind === 'full' ? 0 : 1024;
      clusters.setCluster(clusterConfig(endpoints, { name: 'app', connectionsMax }));
    }
    const chain = tcpChain(ONE, { accessLogs: [log] });
    const client = clientTo(await bind(manager, listenerConfig([chain])));
    await log.until(() => log.records.length > 0);
    expect(log.records[0]!.flags).toBe(flag);
    client.socket.end();
    await client.until(() => client.closed || client.ended);
    expect(client.text).toBe('');
  });

  test('connect attempts go to another endpoint', async () => {
    const server = await serve((socket) => socket.end('here'));
    const log = new RecordingLog();
    const { manager, clusters } = setup();
    const endpoints = [{ port: await closedPort() }, { port: server.port }];
    clusters.setCluster(clusterConfig(endpoints, { name: 'app' }));
    const chain = tcpChain(ONE, { connectAttemptsMax: 2, accessLogs: [log] });
    const port = await bind(manager, listenerConfig([chain]));
    for (let round = 0; round < 2; round++) {
      const client = clientTo(port);
      await client.until(() => client.text === 'here');
      client.socket.end();
    }
    await log.until(() => log.records.length === 2);
    // In turn from a random start: the second connection meets the closed port first in any case.
    expect(log.records[1]).toMatchObject({ attempts: 2, flags: 0 });
  });

  test('[TM-08] weights are drawn once per connection, 0 gets nothing', async () => {
    const names: string[] = [];
    const draws = [0, 0.24, 0.26, 0.99];
    const { manager } = setup({
      random: () => draws.shift() ?? 0,
      clusters: {
        get: (name) => {
          names.push(name);
          return undefined;
        },
      },
    });
    const chain = tcpChain([
      { name: 'none', weight: 0 },
      { name: 'one', weight: 1 },
      { name: 'three', weight: 3 },
    ]);
    const port = await bind(manager, listenerConfig([chain]));
    for (let round = 0; round < 4; round++) {
      const client = clientTo(port);
      await client.until(() => client.ended || client.closed);
      client.socket.end();
    }
    expect(names).toEqual(['one', 'one', 'three', 'three']);
  });

  test('[RS-11] an idle connection is closed', async () => {
    const clock = new ManualClock();
    const server = await serve((socket) => socket.write('x'));
    const log = new RecordingLog();
    const { manager, clusters } = setup({ timers: new TimerLists(clock) });
    clusters.setCluster(clusterConfig([{ port: server.port }], { name: 'app' }));
    const chain = tcpChain(ONE, { idleTimeoutMs: 60_000, accessLogs: [log] });
    const client = clientTo(await bind(manager, listenerConfig([chain])));
    await client.until(() => client.text === 'x');
    clock.advance(60_000);
    await client.until(() => client.ended);
    expect(log.records[0]).toMatchObject({ connectionTerminationDetails: 'idle timeout' });
  });

  test('a lost client ends the upstream connection (DC)', async () => {
    const server = await serve((socket) => {
      socket.resume().write('x');
      socket.on('end', () => socket.end());
    });
    const log = new RecordingLog();
    const { manager, clusters } = setup();
    clusters.setCluster(clusterConfig([{ port: server.port }], { name: 'app' }));
    const port = await bind(manager, listenerConfig([tcpChain(ONE, { accessLogs: [log] })]));
    const client = clientTo(port);
    await client.until(() => client.text === 'x');
    client.socket.resetAndDestroy();
    await log.until(() => log.records.length > 0);
    expect(log.records[0]!.flags).toBe(ResponseFlag.DC);
    while (server.sockets.size > 0) await new Promise((resolve) => setImmediate(resolve));
  });

  test('[I4] an upstream that resets is told to the client as a reset, after what it sent', async () => {
    const server = await serve((socket) => {
      socket.once('data', () => {
        socket.write('partial');
        socket.once('data', () => socket.resetAndDestroy());
      });
    });
    const log = new RecordingLog();
    const { manager, clusters } = setup();
    clusters.setCluster(clusterConfig([{ port: server.port }], { name: 'app' }));
    const port = await bind(manager, listenerConfig([tcpChain(ONE, { accessLogs: [log] })]));
    const client = clientTo(port);
    client.socket.write('question');
    await client.until(() => client.text === 'partial');
    client.socket.write('and another');
    await client.until(() => client.closed);
    expect([client.text, client.error, client.ended]).toEqual(['partial', 'ECONNRESET', false]);
    expect(log.records[0]!.flags).toBe(ResponseFlag.UC);
  });

  test('[I4] a client that resets is told to the upstream as a reset', async () => {
    const errors: string[] = [];
    const server = await serve((socket) => {
      socket.resume().write('x');
      socket.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code ?? ''));
    });
    const { manager, clusters } = setup();
    clusters.setCluster(clusterConfig([{ port: server.port }], { name: 'app' }));
    const port = await bind(manager, listenerConfig([tcpChain(ONE)]));
    const client = clientTo(port);
    await client.until(() => client.text === 'x');
    client.socket.resetAndDestroy();
    while (errors.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(errors).toEqual(['ECONNRESET']);
  });

  test('metrics: opened once, closed once, all bytes', async () => {
    const server = await serve((socket) => socket.end('12345'));
    const seen: string[] = [];
    const { manager, clusters } = setup({
      metrics: {
        tcpOpened: () => seen.push('opened'),
        tcpClosed: () => seen.push('closed'),
        tcpBytes: (_record, _direction, received, sent) => seen.push(`${received}/${sent}`),
      },
    });
    clusters.setCluster(clusterConfig([{ port: server.port }], { name: 'app' }));
    const client = clientTo(await bind(manager, listenerConfig([tcpChain(ONE)])));
    client.socket.end('abc');
    await client.until(() => client.ended);
    while (seen.length < 3) await new Promise((resolve) => setImmediate(resolve));
    expect(seen).toEqual(['opened', '3/5', 'closed']);
  });

  test('[D14] a slow reader pauses the writer: memory stays flat while 200 MB wait', async () => {
    const total = 200 * 1024 * 1024;
    const chunk = Buffer.alloc(256 * 1024, 7);
    let sent = 0;
    let blockedAt = 0;
    const server = await serve((socket) => {
      const more = () => {
        while (sent < total) {
          sent += chunk.length;
          if (!socket.write(chunk)) {
            blockedAt = sent;
            socket.once('drain', more);
            return;
          }
        }
        socket.end();
      };
      more();
    });
    const { manager, clusters } = setup();
    clusters.setCluster(clusterConfig([{ port: server.port }], { name: 'app' }));
    const port = await bind(manager, listenerConfig([tcpChain(ONE)]));
    const before = process.memoryUsage().arrayBuffers;
    const client = clientTo(port);
    client.socket.removeAllListeners('data');
    client.socket.pause();
    // Until the writer stands still for a while: everything between is full.
    for (let still = 0, last = -1; still < 200; ) {
      await new Promise((resolve) => setImmediate(resolve));
      still = last === blockedAt && blockedAt > 0 ? still + 1 : 0;
      last = blockedAt;
    }
    expect(sent).toBeLessThan(64 * 1024 * 1024);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024);
    let received = 0;
    let peak = 0;
    let nextLook = 0;
    client.socket.on('data', (bytes: Buffer) => {
      received += bytes.length;
      if (received < nextLook) return;
      // What is still held, not what the collector has not come to yet.
      collectGarbage();
      peak = Math.max(peak, process.memoryUsage().arrayBuffers - before);
      nextLook = received + 10 * 1024 * 1024;
    });
    client.socket.resume();
    await client.until(() => client.ended);
    expect(received).toBe(total);
    expect(peak).toBeLessThan(64 * 1024 * 1024);
  });
});

const collectGarbage: () => void = (() => {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
})();
