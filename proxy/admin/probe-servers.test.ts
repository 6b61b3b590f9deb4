import { Server } from 'node:net';
import { afterEach, expect, test, vi } from 'vitest';
import { StatsRegistry } from '../observe/stats.ts';
import type { Readiness } from './admin-source.ts';
import { MetricsServer } from './metrics-server.ts';
import { ReadinessServer } from './readiness-server.ts';

const running: (MetricsServer | ReadinessServer)[] = [];
afterEach(() => Promise.all(running.splice(0).map((server) => server.close())));

async function started(server: MetricsServer | ReadinessServer): Promise<string> {
  running.push(server);
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  return `http://127.0.0.1:${port}`;
}

test('15021 says whether the proxy serves, and why not', async () => {
  let readiness: Readiness = { ready: false, reason: 'no configuration has arrived yet' };
  const base = await started(new ReadinessServer(() => readiness));
  const waiting = await fetch(`${base}/healthz/ready`);
  expect([waiting.status, await waiting.text()]).toEqual([
    503,
    'not ready: no configuration has arrived yet\n',
  ]);
  readiness = { ready: true, reason: '' };
  expect((await fetch(`${base}/healthz/ready`)).status).toBe(200);
});

test('[A1.7] 15021 has one page, and takes GET only', async () => {
  const base = await started(new ReadinessServer(() => ({ ready: true, reason: '' })));
  expect((await fetch(`${base}/config_dump`)).status).toBe(404);
  expect((await fetch(`${base}/quitquitquit`, { method: 'POST' })).status).toBe(404);
  expect((await fetch(`${base}/healthz/ready`, { method: 'POST' })).status).toBe(405);
});

test('[OB-05] [A1.7] 15090 serves Prometheus under any Host, and nothing else', async () => {
  const registry = new StatsRegistry();
  registry.counter('istio_requests_total', 'Requests').add(7);
  const base = await started(new MetricsServer(registry));
  const answer = await fetch(`${base}/stats/prometheus`);
  expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  expect(await answer.text()).toContain('istio_requests_total 7\n');
  expect((await fetch(`${base}/stats`)).status).toBe(404);
});

test('[A7.4] a scrape of 10 000 series leaves the event loop its turns', async () => {
  const registry = new StatsRegistry();
  for (let at = 0; at < 10_000; at += 1) {
    registry.counter('many_total', 'Many', [['label', `${at}${'x'.repeat(100)}`]]);
  }
  const base = await started(new MetricsServer(registry));
  let turns = 0;
  let done = false;
  const watch = () => {
    turns += 1;
    if (!done) setImmediate(watch);
  };
  setImmediate(watch);
  const text = await (await fetch(`${base}/stats/prometheus`)).text();
  done = true;
  expect(text.split('\n').length).toBeGreaterThan(10_000);
  // One turn a piece of 32 KiB: no piece takes a millisecond, however long the whole does.
  expect(turns).toBeGreaterThan(text.length / 40_000);
});

test('a port of both families is one of IPv4 where the kernel has no IPv6', async () => {
  const listen = vi.spyOn(Server.prototype, 'listen').mockImplementationOnce(function (
    this: Server,
  ) {
    const error = Object.assign(new Error('no such family'), { code: 'EAFNOSUPPORT' });
    queueMicrotask(() => this.emit('error', error));
    return this;
  });
  try {
    const server = new ReadinessServer(() => ({ ready: true, reason: '' }));
    running.push(server);
    const bound = await server.listen({ host: '::', port: 0 });
    expect(bound.host).toBe('0.0.0.0');
    expect((await fetch(`http://127.0.0.1:${bound.port}/healthz/ready`)).status).toBe(200);
  } finally {
    listen.mockRestore();
  }
});
