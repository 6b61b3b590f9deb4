import { expect, test } from 'vitest';
import { loopback } from '../upstream/cluster.testing.ts';
import { Client } from './listener.testing.ts';
import {
  type Getsockopt,
  loadOriginalDestinationLookup,
  lookupBy,
  type OriginalDestinationLookup,
} from './original-destination.ts';

test.skipIf(process.platform !== 'linux')(
  'a connection that was not redirected has no original destination, or its own address',
  async () => {
    const loaded = loadOriginalDestinationLookup();
    if (loaded.kind === 'problem') throw new Error(loaded.detail);
    const answers: unknown[] = [];
    const server = await loopback((socket) => {
      const found = loaded.lookup(socket);
      // With redirect rules loaded the kernel answers with the local address.
      answers.push(found === null || found.text === `127.0.0.1:${server.port}`);
      socket.end();
    });
    const client = Client.to(server.port);
    await client.until(() => client.ended);
    client.socket.destroy();
    server.close();
    expect(answers).toEqual([true]);
  },
);

/** A kernel that answers with these bytes, and the calls it has seen. */
function kernel(answer: Buffer, result = 0) {
  const calls: unknown[] = [];
  const getsockopt: Getsockopt = (fd, level, option, value, length) => {
    calls.push({ fd, level, option, bytes: length.readInt32LE(0) });
    answer.copy(value);
    return result;
  };
  const socket = (localAddress: string) =>
    ({ _handle: { fd: 7 }, localAddress }) as unknown as Parameters<OriginalDestinationLookup>[0];
  return { lookup: lookupBy(getsockopt), socket, calls };
}

const V4 = Buffer.from('0200' + '1f90' + '0a4d0002' + '0000000000000000', 'hex');
const V6 = Buffer.from(
  '0a00' + '0050' + '00000000' + 'fd770000000000000000000000000002' + '00000000',
  'hex',
);

test('sockaddr_in is asked for at level SOL_IP', () => {
  const { lookup, socket, calls } = kernel(V4);
  const expected = { host: '10.77.0.2', port: 8080, text: '10.77.0.2:8080' };
  expect(lookup(socket('10.77.0.2'))).toEqual(expected);
  expect(calls).toEqual([{ fd: 7, level: 0, option: 80, bytes: 16 }]);
});

test('sockaddr_in6 is asked for at level SOL_IPV6, in the spelling of the runtime', () => {
  const { lookup, socket, calls } = kernel(V6);
  const expected = { host: 'fd77::2', port: 80, text: '[fd77::2]:80' };
  expect(lookup(socket('fd77::2'))).toEqual(expected);
  expect(calls).toEqual([{ fd: 7, level: 41, option: 80, bytes: 28 }]);
});

test('an IPv4-mapped address of an IPv6 socket is asked for as IPv4', () => {
  const { lookup, socket, calls } = kernel(V4);
  expect(lookup(socket('::ffff:10.77.0.2'))?.text).toBe('10.77.0.2:8080');
  expect(calls).toMatchObject([{ level: 0 }]);
});

test('no answer, port 0 and a socket that is closed are no destination', () => {
  expect(kernel(V4, -1).lookup(kernel(V4).socket('10.0.0.1'))).toBeNull();
  const none = kernel(Buffer.alloc(28));
  expect(none.lookup(none.socket('10.0.0.1'))).toBeNull();
  expect(none.lookup(none.socket('fd77::2'))).toBeNull();
  expect(none.lookup({} as Parameters<OriginalDestinationLookup>[0])).toBeNull();
});
