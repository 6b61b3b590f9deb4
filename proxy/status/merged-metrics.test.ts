import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { parseExposition } from '../../test/harness/exposition-parser.ts';
import { until } from '../../test/harness/until.ts';
import { StatsRegistry } from '../observe/stats.ts';
import type { ScrapeTarget } from './scrape-target.ts';
import { StatusServer } from './status-server.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function app(handler: (request: IncomingMessage, response: ServerResponse) => void) {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

/** An app with one page of metrics. */
const metricsApp = (body: string, contentType = 'text/plain; version=0.0.4') =>
  app((_, response) => void response.writeHead(200, { 'content-type': contentType }).end(body));

async function statusWith(targets: readonly ScrapeTarget[]) {
  const registry = new StatsRegistry();
  registry.counter('istio_requests_total', 'Requests').add(7);
  const warnings: object[] = [];
  const server = new StatusServer({
    readiness: () => ({ ready: true, reason: '' }),
    registry,
    app: { host: '127.0.0.1', from: '' },
    probers: new Map(),
    targets,
    ownPorts: new Map(),
    drain: () => {},
    quit: () => {},
    log: { info: () => {}, warn: (fields) => void warnings.push(fields) },
  });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  cleanups.push(() => server.close());
  const scrape = async (headers: Record<string, string> = {}, path = '/stats/prometheus') => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers });
    return {
      status: response.status,
      type: response.headers.get('content-type')!,
      text: await response.text(),
    };
  };
  return { scrape, registry, warnings, port };
}

const OPENMETRICS = 'application/openmetrics-text; version=1.0.0; charset=utf-8';
const ASKS_OPENMETRICS = { accept: `${OPENMETRICS},text/plain;version=0.0.4;q=0.5` };
const failures = /istio_agent_scrape_failures_total\{type="application"\} (\d+)/;

test("[OB-05] the sidecar's and the app's metrics are one page that parses", async () => {
  const port = await metricsApp('# TYPE orders_total counter\norders_total{shop="a b"} 3');
  const { scrape } = await statusWith([{ port, path: '/metrics' }]);
  const { status, type, text } = await scrape();
  expect([status, type]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
  const samples = parseExposition(text, 'prometheus');
  expect(samples.get('istio_requests_total')).toBe(7);
  expect(samples.get('orders_total{shop="a b"}')).toBe(3);
  expect((await scrape({}, '/metrics')).text).toContain('orders_total');
});

test('[OB-05] without a page of the app it is that of the sidecar', async () => {
  const { scrape } = await statusWith([]);
  expect((await scrape()).text).toContain('istio_requests_total 7\n');
  const open = await scrape(ASKS_OPENMETRICS);
  expect(open.type).toBe(OPENMETRICS);
  expect(parseExposition(open.text, 'openmetrics').get('istio_requests_total')).toBe(7);
});

test('[OB-05] an app that is down, ill or no page of metrics leaves the rest whole', async () => {
  const good = await metricsApp('good 1\n');
  const bad = [
    1, // nobody listens
    await app((_, response) => void response.writeHead(500).end('good 2\n')),
    await metricsApp('<html>login</html>', 'text/html'),
    await metricsApp('<html>login</html>'),
    await metricsApp('half{a="b'),
    await app((_, response) => {
      response.writeHead(200, { 'content-length': 100 });
      response.write('cut 1\n');
      setImmediate(() => response.destroy());
    }),
  ];
  const targets = [...bad, good].map((port) => ({ port, path: '/metrics' }));
  const { scrape, warnings } = await statusWith(targets);
  const { status, text } = await scrape();
  expect(status).toBe(200);
  const samples = parseExposition(text, 'prometheus');
  expect([samples.get('good'), samples.get('istio_requests_total')]).toEqual([1, 7]);
  expect(failures.exec(text)?.[1]).toBe('6');
  expect(warnings).toHaveLength(6);
  await scrape();
  expect(warnings).toHaveLength(6); // told once, counted each time
  expect(failures.exec((await scrape()).text)?.[1]).toBe('18');
});

test('[OB-05] the scraper is passed on: what it accepts, who it is, how long it waits', async () => {
  let seen: IncomingMessage['headers'] = {};
  const port = await app(({ headers }, response) => {
    seen = headers;
    response.end('a 1\n');
  });
  const { scrape } = await statusWith([{ port, path: '/m' }]);
  await scrape({
    ...ASKS_OPENMETRICS,
    'user-agent': 'Prometheus/3',
    'x-prometheus-scrape-timeout-seconds': '2.5',
    authorization: 'Bearer of-the-scraper',
    cookie: 'a=b',
  });
  expect(seen).toMatchObject({
    accept: ASKS_OPENMETRICS.accept,
    'user-agent': 'Prometheus/3',
    'x-prometheus-scrape-timeout-seconds': '2',
  });
  expect([seen['authorization'], seen['cookie']]).toEqual([undefined, undefined]);
});

test('[OB-05] an app in OpenMetrics makes a page of OpenMetrics with one end', async () => {
  const page = '# TYPE orders counter\norders_total 3 # {trace_id="x"} 1.0\n# EOF\n';
  const one = await metricsApp(page, OPENMETRICS);
  const two = await metricsApp('other 1\n# EOF', 'application/openmetrics-text');
  const { scrape } = await statusWith([
    { port: one, path: '/' },
    { port: two, path: '/' },
  ]);
  const { type, text } = await scrape(ASKS_OPENMETRICS);
  expect(type).toBe(OPENMETRICS);
  const samples = parseExposition(text, 'openmetrics');
  expect([samples.get('orders_total'), samples.get('other')]).toEqual([3, 1]);
});

test('[OB-05] pages in two formats meet in text', async () => {
  const text = await metricsApp('plain 1\n');
  const accepts: (string | undefined)[] = [];
  const both = await app(({ headers: { accept } }, response) => {
    accepts.push(accept);
    const open = accept!.includes('openmetrics');
    response.writeHead(200, { 'content-type': open ? OPENMETRICS : 'text/plain' });
    response.end(open ? 'able 1\n# EOF\n' : 'able 2\n');
  });
  const stubborn = await metricsApp('stubborn 1\n# EOF\n', OPENMETRICS);
  const { scrape, warnings } = await statusWith(
    [text, both, stubborn].map((port) => ({ port, path: '/' })),
  );
  const answer = await scrape(ASKS_OPENMETRICS);
  expect(answer.type).toBe('text/plain; version=0.0.4; charset=utf-8');
  const samples = parseExposition(answer.text, 'prometheus');
  expect([samples.get('plain'), samples.get('able'), samples.get('stubborn')]).toEqual([
    1,
    2,
    undefined,
  ]);
  expect(accepts).toEqual([ASKS_OPENMETRICS.accept, 'text/plain;version=0.0.4']);
  expect(warnings).toMatchObject([{ port: stubborn }]);
});

test("[OB-05] process_* is the app's; the sidecar's has the name of Istio's agent", async () => {
  const port = await metricsApp('process_open_fds 9\n');
  const { scrape, registry } = await statusWith([{ port, path: '/' }]);
  registry.gauge('process_open_fds', 'Open files').set(5);
  const samples = parseExposition((await scrape()).text, 'prometheus');
  expect(samples.get('process_open_fds')).toBe(9);
  expect(samples.get('istio_agent_process_open_fds')).toBe(5);
});

test('[A7.4] pages of more than 10 MiB in all are dropped, the rest stays', async () => {
  const line = `big{x="${'y'.repeat(1000)}"} 1\n`;
  const endless = await app((_, response) => {
    response.on('error', () => {});
    const pump = () => {
      while (response.write(line.repeat(64)));
      response.once('drain', pump);
    };
    pump();
  });
  const { scrape, warnings } = await statusWith([{ port: endless, path: '/' }]);
  const { text } = await scrape();
  expect(parseExposition(text, 'prometheus').get('istio_requests_total')).toBe(7);
  expect(text).not.toContain('big{');
  expect(warnings).toMatchObject([{ problem: expect.stringContaining('longer than 10 MiB') }]);
});

test("[OB-05] a slow app is given up in the scraper's time", async () => {
  const port = await app(() => {});
  const { scrape, warnings } = await statusWith([{ port, path: '/' }]);
  const { text } = await scrape({ 'x-prometheus-scrape-timeout-seconds': '0.2' });
  expect(text).toContain('istio_requests_total 7\n');
  expect(warnings).toMatchObject([{ problem: 'no answer within 0.1 s' }]);
});

test('[A7.4] a thousand scrapes at once ask the app once, and all are answered', async () => {
  const held: ServerResponse[] = [];
  const body = `big{x="${'y'.repeat(1000)}"} 1\n`.repeat(100);
  const port = await app((_, response) => void held.push(response));
  const { port: statusPort, registry } = await statusWith([{ port, path: '/' }]);
  const scrapes = registry.counter('istio_agent_scrapes_total', 'Scrapes of the merged metrics');
  const ask = () =>
    new Promise<string>((resolve) => {
      const socket = connect(statusPort, '127.0.0.1', () =>
        socket.write('GET /stats/prometheus HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'),
      );
      let head = '';
      let bytes = 0;
      socket.on('data', (chunk: Buffer) => {
        if (head.length < 12) head += chunk.toString('latin1', 0, 12);
        bytes += chunk.length;
      });
      socket.on('error', (error) => resolve(error.message));
      socket.on('close', () => resolve(`${head.slice(0, 12)} ${bytes > body.length}`));
    });
  const answers = Array.from({ length: 1000 }, ask);
  await until('all to wait for the app', () => scrapes.value === 1000);
  expect(held).toHaveLength(1);
  held[0]!.end(body);
  expect([...new Set(await Promise.all(answers))]).toEqual(['HTTP/1.1 200 true']);
});
