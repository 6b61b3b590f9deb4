import { expect, test } from 'vitest';
import { loopback } from '../upstream/cluster.testing.ts';
import { Client } from './listener.testing.ts';
import { loadOriginalDestinationLookup } from './original-destination.ts';

test.skipIf(process.platform !== 'linux')(
  'a connection that was not redirected has no original destination, or its own address',
  async () => {
    const lookup = loadOriginalDestinationLookup();
    expect(lookup).not.toBeNull();
    const answers: unknown[] = [];
    const server = await loopback((socket) => {
      const found = lookup!(socket);
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
