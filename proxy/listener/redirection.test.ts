import { afterEach, describe, expect, test } from 'vitest';
import {
  bind,
  Client,
  downstreamTls,
  httpChain,
  listenerConfig,
  listenerManager,
  tcpChain,
} from './listener.testing.ts';
import type { OriginalDestination } from './original-destination.ts';

/** Redirected connections in one process: the kernel's answer is the test's. */

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

function redirected() {
  const kernel: { answer: OriginalDestination | null } = { answer: null };
  const all = listenerManager({
    loadOriginalDestination: () => ({ kind: 'lookup', lookup: () => kernel.answer }),
  });
  cleanups.push(() => all.manager.destroy());
  const going = (host: string, port: number): void => {
    kernel.answer = {
      host,
      port,
      text: host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`,
    };
  };
  return { ...all, going };
}

const virtual = (change = {}) =>
  listenerConfig([httpChain('catchall')], {
    name: 'virtualOutbound',
    useOriginalDst: true,
    direction: 'OUTBOUND',
    ...change,
  });
const unbound = (name: string, address: string, port: number, change = {}) =>
  listenerConfig([httpChain(name)], {
    name,
    address,
    port,
    bindToPort: false,
    direction: 'OUTBOUND',
    ...change,
  });

function clientTo(port: number, host = '127.0.0.1'): Client {
  const client = Client.to(port, host);
  cleanups.push(() => client.socket.destroy());
  return client;
}

describe('the owner of an original destination', () => {
  test('is the listener of the address, else that of the port, else the one that took it', async () => {
    const { manager, filter, going } = redirected();
    const port = await bind(manager, virtual());
    await manager.set(unbound('port', '0.0.0.0', 6379));
    await manager.set(unbound('address', '10.0.0.1', 6379));
    for (const [host, dialled, owner] of [
      ['10.0.0.1', 6379, 'address'],
      ['10.0.0.2', 6379, 'port'],
      ['10.0.0.1', 6380, 'catchall'],
    ] as const) {
      going(host, dialled);
      clientTo(port);
      await filter(owner).until(() => filter(owner).accepted.length === 1);
      const [accepted] = filter(owner).accepted;
      expect(accepted!.originalDestination).toBe(`${host}:${dialled}`);
      expect(accepted!.info.localAddress).toBe(`${host}:${dialled}`);
    }
  });

  test('IPv6: in any spelling, and by the port', async () => {
    const { manager, filter, going } = redirected();
    const port = await bind(manager, virtual());
    await manager.set(unbound('port', '0.0.0.0', 80));
    await manager.set(unbound('address', 'FD00:0:0::0001', 80));
    going('fd00::1', 80);
    clientTo(port);
    await filter('address').until(() => filter('address').accepted.length === 1);
    going('fd00::2', 80);
    clientTo(port);
    await filter('port').until(() => filter('port').accepted.length === 1);
  });

  test('changes with its listener, and is nobody once that is gone', async () => {
    const { manager, filter, going } = redirected();
    const port = await bind(manager, virtual());
    going('10.0.0.1', 6379);
    await manager.set(unbound('address', '10.0.0.1', 6379));
    const newer = { version: '2', filterChains: [httpChain('newer')] };
    await manager.set(unbound('address', '10.0.0.1', 6379, newer));
    clientTo(port);
    await filter('newer').until(() => filter('newer').accepted.length === 1);
    manager.remove('address');
    clientTo(port);
    await filter('catchall').until(() => filter('catchall').accepted.length === 1);
  });
});

test('a connection whose destination is the listener itself was not redirected', async () => {
  const { manager, filter, going } = redirected();
  const port = await bind(manager, virtual());
  going('127.0.0.1', port);
  await manager.set(unbound('self', '127.0.0.1', port));
  clientTo(port);
  await filter('catchall').until(() => filter('catchall').accepted.length === 1);
  expect(filter('catchall').accepted[0]!.originalDestination).toBe('');
});

test('additional addresses are bound and own: a socket for each family', async () => {
  const { manager, filter } = redirected();
  const config = virtual({ additionalAddresses: [{ host: '::1', port: 0 }] });
  await bind(manager, config);
  const [v4, v6] = manager.listeners.get('virtualOutbound')!.allBound;
  expect([v4?.address, v6?.address]).toEqual(['127.0.0.1', '::1']);
  clientTo(v6!.port, '::1');
  await filter('catchall').until(() => filter('catchall').accepted.length === 1);
  expect(manager.isOwnAddress('::1', v6!.port)).toBe(true);
  expect(manager.isOwnAddress('127.0.0.1', v4!.port)).toBe(true);
});

test('where one address cannot be had, none is bound', async () => {
  const { manager } = redirected();
  const elsewhere = { host: '192.0.2.1', port: 0 };
  const result = await manager.set(virtual({ additionalAddresses: [elsewhere] }));
  expect(result).toMatchObject({ kind: 'problem' });
  expect((result as { detail: string }).detail).toContain('192.0.2.1:0: the address is not one of');
  expect(manager.listeners.size).toBe(0);
});

test('a listener of redirected connections is refused where the kernel cannot be asked, with the reason', async () => {
  const detail = 'the original destination of redirected connections cannot be read: no node:ffi';
  const { manager } = listenerManager({
    loadOriginalDestination: () => ({ kind: 'problem', detail }),
  });
  cleanups.push(() => manager.destroy());
  const expected = { kind: 'problem', detail: `listener 'virtualOutbound': ${detail}` };
  expect(await manager.set(virtual())).toEqual(expected);
  expect(manager.loadRedirection()).toBe(detail);
  expect((await manager.set(listenerConfig([httpChain('http')]))).kind).toBe('listening');
});

test('[SC-02] plain text to a STRICT port is told as such beside ports that take it', async () => {
  const { manager, going, logged } = redirected();
  const tls = downstreamTls();
  const port = await bind(
    manager,
    listenerConfig(
      [
        httpChain('trap', { match: { destinationPort: 15_006 } }),
        httpChain('strict', { tls, match: { destinationPort: 80, transportProtocol: 'tls' } }),
      ],
      { direction: 'INBOUND', useOriginalDst: true, inspectTls: true },
    ),
  );
  going('10.0.0.1', 80);
  const plain = clientTo(port);
  plain.socket.write('GET / HTTP/1.1\r\n');
  await plain.until(() => plain.closed);
  expect(logged).toEqual(['connection refused: plain text to a port that takes TLS only']);
});

test('[PR-03] a port whose chains ask nothing of the peer is not inspected because another one is', async () => {
  const { manager, filter, going } = redirected();
  const port = await bind(
    manager,
    listenerConfig(
      [
        tcpChain([{ name: 'nowhere', weight: 1 }], { match: { destinationPort: 3306 } }),
        httpChain('http', {
          match: { destinationPort: 7000, applicationProtocols: ['http/1.1'] },
        }),
        httpChain('other', { match: { destinationPort: 7000 } }),
      ],
      { direction: 'INBOUND', useOriginalDst: true, inspectTls: true, inspectHttp: true },
    ),
  );
  going('10.0.0.1', 3306);
  const silent = clientTo(port);
  // The cluster is not known: it is closed at once, and not after the wait for its first bytes.
  await silent.until(() => silent.ended || silent.closed);
  going('10.0.0.1', 7000);
  clientTo(port).socket.write('220\r\n');
  await filter('other').until(() => filter('other').accepted.length === 1);
});
