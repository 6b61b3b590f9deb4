import { expect, test } from 'vitest';
import { exchange } from '../../test/proxy-exchange.ts';

test('a request goes through and its response comes back, logged once', () => {
  const mesh = exchange();
  const client = mesh.connect().get('/x?y=1', ['x-a: 1']);
  const attempt = mesh.cluster('a').last;
  expect(attempt.path).toBe('/x?y=1');
  expect(attempt.endStream).toBe(true);
  expect(attempt.header('x-a')).toBe('1');
  attempt.respond(200, ['content-length', '5', 'server', 'app'], 'hello');
  expect(client.status).toBe(200);
  expect(client.body).toBe('hello');
  expect(client.header('server')).toBe('envoy');
  expect(mesh.record.status).toBe(200);
  expect(mesh.record.responseCodeDetails).toBe('via_upstream');
  expect(mesh.record.bytesSent).toBe(5);
  expect(mesh.flags).toBe('-');
  expect(mesh.bugs).toEqual([]);
});

test('one connection carries request after request', () => {
  const mesh = exchange();
  const client = mesh.connect();
  for (const n of [1, 2, 3]) {
    client.get(`/${n}`);
    mesh.cluster('a').last.respond(200, [], `body${n}`);
  }
  expect(mesh.records.map((record) => record.path)).toEqual(['/1', '/2', '/3']);
  expect(client.text).toContain('body3');
});
