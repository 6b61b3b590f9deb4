import { expect, test } from 'vitest';
import { type Exchange, exchange, type FakeClient } from '../../test/proxy-exchange.ts';
import { IstioMetrics } from '../observe/istio-metrics.ts';
import { UNKNOWN_WORKLOAD } from '../observe/request-record.ts';
import { StatsRegistry } from '../observe/stats.ts';
import type { ConnectionManagerConfig } from './connection-manager-config.ts';
import { REPORT_MS } from './grpc-messages.ts';

const HEAD = ['content-type', 'application/grpc'];
const MESSAGE = '\x00\x00\x00\x00\x02hi';

interface Counted {
  readonly requests: number;
  readonly responses: number;
  readonly protocol: string | undefined;
  readonly status: string | undefined;
  readonly code: string | undefined;
  readonly reporter: string | undefined;
}

function mesh(config: Partial<ConnectionManagerConfig> = {}): Exchange & { counted(): Counted[] } {
  const registry = new StatsRegistry();
  const metrics = new IstioMetrics(registry, UNKNOWN_WORKLOAD, 'test');
  const exchanged = exchange({ config, deps: { metrics } });
  const counted = (): Counted[] => {
    const responses = registry.families.get('istio_response_messages_total')?.series;
    const series = registry.families.get('istio_request_messages_total')?.series ?? new Map();
    return [...series.values()].map(({ labels, labelText, metric }) => {
      const named = Object.fromEntries(labels) as Record<string, string>;
      const response = responses!.get(labelText)!.metric;
      return {
        requests: metric.value,
        responses: 'value' in response ? response.value : Number.NaN,
        protocol: named['request_protocol'],
        status: named['grpc_response_status'],
        code: named['response_code'],
        reporter: named['reporter'],
      };
    });
  };
  return Object.assign(exchanged, { counted });
}

function chunk(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`;
}

function call(exchanged: Exchange, type = 'application/grpc'): FakeClient {
  return exchanged
    .connect()
    .send(
      `POST /s/m HTTP/1.1\r\nhost: a\r\ncontent-type: ${type}\r\ntransfer-encoding: chunked\r\n\r\n`,
    );
}

test.each([
  ['OUTBOUND', 'source'],
  ['INBOUND', 'destination'],
] as const)(
  '[OB-01] a short call counts its messages once, with its status: %s',
  (direction, reporter) => {
    const exchanged = mesh({ direction });
    const client = call(exchanged);
    const { last } = exchanged.cluster('a');
    last.ready();
    client
      .send(chunk(MESSAGE + MESSAGE.slice(0, 3)))
      .send(chunk(MESSAGE.slice(3)))
      .send('0\r\n\r\n');
    last.respond(200, HEAD, null);
    last.data(MESSAGE);
    last.data(MESSAGE.slice(0, 6));
    last.data(MESSAGE.slice(6) + MESSAGE);
    expect(exchanged.counted()).toEqual([]);
    last.endWithTrailers(['grpc-status', '0']);
    expect(exchanged.counted()).toEqual([
      { requests: 2, responses: 3, protocol: 'grpc', status: '0', code: '200', reporter },
    ]);
  },
);

test('[OB-01] the messages of a long stream show before it ends', () => {
  const exchanged = mesh({ streamIdleTimeoutMs: 0 });
  const client = call(exchanged);
  const { last } = exchanged.cluster('a');
  last.ready();
  last.respond(200, HEAD, null);
  client.send(chunk(MESSAGE));
  last.data(MESSAGE);
  exchanged.clock.advance(REPORT_MS);
  const running = { protocol: 'grpc', status: '', code: '200', reporter: 'source' };
  expect(exchanged.counted()).toEqual([{ ...running, requests: 1, responses: 1 }]);
  // Nothing new, nothing to report.
  exchanged.clock.advance(10 * REPORT_MS);
  last.data(MESSAGE);
  exchanged.clock.advance(REPORT_MS);
  expect(exchanged.counted()).toEqual([{ ...running, requests: 1, responses: 2 }]);
  last.data(MESSAGE);
  client.send('0\r\n\r\n');
  last.endWithTrailers(['grpc-status', '7']);
  expect(exchanged.counted()).toEqual([
    { ...running, requests: 1, responses: 2 },
    { ...running, status: '7', requests: 0, responses: 1 },
  ]);
});

test('[OB-01] messages of a client that leaves are counted, of other protocols nothing is', () => {
  const exchanged = mesh();
  const client = call(exchanged);
  exchanged.cluster('a').last.ready();
  client.send(chunk(MESSAGE));
  client.close();
  expect(exchanged.counted()).toMatchObject([{ requests: 1, responses: 0, status: '', code: '0' }]);

  const other = mesh();
  call(other, 'application/json').send(chunk(MESSAGE)).send('0\r\n\r\n');
  other.cluster('a').last.respond(200, [], MESSAGE);
  expect(other.counted()).toEqual([]);

  const unnamed = mesh({ direction: 'UNSPECIFIED' });
  call(unnamed).send(chunk(MESSAGE)).send('0\r\n\r\n');
  unnamed.cluster('a').last.respond(200, HEAD, MESSAGE);
  expect(unnamed.counted()).toEqual([]);
});

test('[OB-01] a call that ends before any message makes no series', () => {
  const exchanged = mesh();
  call(exchanged).send('0\r\n\r\n');
  exchanged.cluster('a').last.respond(200, [...HEAD, 'grpc-status', '12']);
  expect(exchanged.counted()).toEqual([]);
});
