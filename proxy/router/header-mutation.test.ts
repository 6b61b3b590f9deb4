import { expect, test } from 'vitest';
import { exchange, NO_MUTATIONS, route, weightedCluster } from '../../test/proxy-exchange.ts';
import type { HeaderAddition, HeaderMutations } from './route-config.ts';

function add(
  name: string,
  value: string,
  action: HeaderAddition['action'] = 'append',
): HeaderAddition {
  return { name, value, format: value.includes('%'), action, keepEmpty: false };
}

function mutations(parts: Partial<HeaderMutations>): HeaderMutations {
  return { ...NO_MUTATIONS, ...parts };
}

test('[TM-13] removal comes before addition, set overwrites, add appends', () => {
  const requestHeaders = mutations({
    remove: ['x-gone', 'x-new'],
    add: [
      add('x-new', 'n'),
      add('x-set', 's', 'overwrite'),
      add('x-add', '2'),
      add('x-old', 'no', 'addIfAbsent'),
      add('x-none', 'no', 'overwriteIfExists'),
    ],
  });
  const mesh = exchange({ routes: [route('/', 'a', {}, { requestHeaders })] });
  mesh.connect().get('/', ['x-gone: 1', 'x-new: old', 'x-set: 1', 'x-add: 1', 'x-old: 1']);
  const { headers } = mesh.cluster('a').last;
  const custom: string[] = [];
  for (let at = 0; at < headers.length; at += 2) {
    if (/^x-(gone|new|set|add|old|none)$/.test(headers[at]!)) {
      custom.push(`${headers[at]}: ${headers[at + 1]}`);
    }
  }
  expect(custom.sort()).toEqual(['x-add: 1', 'x-add: 2', 'x-new: n', 'x-old: 1', 'x-set: s']);
});

test('[TM-13] values may name parts of the request; an empty one is left out', () => {
  const requestHeaders = mutations({
    add: [
      add('x-agent', 'agent=%REQ(user-agent)%'),
      add('x-from', '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'),
      add('x-nothing', '%REQ(absent)%'),
    ],
  });
  const mesh = exchange({ routes: [route('/', 'a', {}, { requestHeaders })] });
  mesh.connect().get('/', ['user-agent: curl']);
  const attempt = mesh.cluster('a').last;
  expect(attempt.header('x-agent')).toBe('agent=curl');
  expect(attempt.header('x-from')).toBe('10.0.0.9');
  expect(attempt.header('x-nothing')).toBeUndefined();
});

test('[TM-13] a format reads the fields as they came, not as an addition before it left them', () => {
  const requestHeaders = mutations({
    add: [add('x-set', 'new', 'overwrite'), add('x-was', '%REQ(x-set)%')],
  });
  const mesh = exchange({ routes: [route('/', 'a', {}, { requestHeaders })] });
  mesh.connect().get('/', ['x-set: old']);
  expect(mesh.cluster('a').last.header('x-set')).toBe('new');
  expect(mesh.cluster('a').last.header('x-was')).toBe('old');
});

test('[TM-13] cluster, route, virtual host and table all have their say, most specific first', () => {
  const level = (name: string) => mutations({ add: [add('x-level', name, 'overwrite')] });
  const entry = route(
    '/',
    'a',
    {
      clusters: [
        weightedCluster('a', {
          requestHeaders: level('cluster'),
          responseHeaders: level('cluster'),
        }),
      ],
    },
    { requestHeaders: level('route'), responseHeaders: level('route') },
  );
  const mesh = exchange({ routes: [entry], virtualHost: { responseHeaders: level('host') } });
  const client = mesh.connect().get();
  expect(mesh.cluster('a').last.header('x-level')).toBe('route');
  mesh.cluster('a').last.respond(200);
  expect(client.header('x-level')).toBe('host');
});

test('[TM-13] framing, host and pseudo-header fields are out of reach', () => {
  const requestHeaders = mutations({
    remove: ['host', 'content-length'],
    add: [add(':path', '/evil', 'overwrite'), add('host', 'evil', 'overwrite')],
  });
  const mesh = exchange({ routes: [route('/', 'a', {}, { requestHeaders })] });
  mesh.connect().send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx');
  const attempt = mesh.cluster('a').last;
  expect(attempt.path).toBe('/');
  expect(attempt.authority).toBe('a');
  expect(attempt.header('content-length')).toBe('1');
});

test('[A7.3] a rendered value that no field line can hold is left out', () => {
  const requestHeaders = mutations({ add: [add('x-path', '%REQ(:PATH)%é')] });
  const mesh = exchange({ routes: [route('/', 'a', {}, { requestHeaders })] });
  mesh.connect().get('/x');
  expect(mesh.cluster('a').last.header('x-path')).toBe('/xé');
});
