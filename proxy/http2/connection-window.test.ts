import { describe, expect, test } from 'vitest';
import { RequestHead, ResponseHead } from '../http/message.ts';
import { RecordingHandler, RecordingListener, RecordingSink } from '../http1/recorder.testing.ts';
import { Http2ClientConnection } from './client-connection.ts';
import { http2ClientOptions, http2ServerOptions } from './connection-options.ts';
import { ConnectionWindow } from './connection-window.ts';
import { CONNECTION_PREFACE } from './frame-reader.ts';
import { Inbox } from './inbox.ts';
import { ReceiveBudget } from './receive-budget.ts';
import { INITIAL_WINDOW_BYTES } from './receive-window.ts';
import { Http2ServerConnection } from './server-connection.ts';
import {
  data,
  END_STREAM,
  headers,
  RecordingTransport,
  SETTINGS_ACK,
  settings,
} from './wire.testing.ts';

/** Bytes that HTTP/2 peers can make us hold: bounded for the process (D14), not only for each of them. */

const MIB = 1024 * 1024;
const REQUEST = [':method', 'POST', ':scheme', 'http', ':authority', 'a', ':path', '/'];

/** A peer that sends whatever it may. */
class Peer {
  readonly window: ConnectionWindow;
  mayBytes = INITIAL_WINDOW_BYTES;

  constructor(budget: ReceiveBudget, bytesMax = 4 * MIB) {
    this.window = new ConnectionWindow(budget, bytesMax);
  }

  /** Sends all that it may, which nobody reads; answers how much that was. */
  sendAll(): number {
    let sent = 0;
    while (this.mayBytes > 0) {
      const bytes = Math.min(this.mayBytes, 16_384);
      if (!this.window.receive(bytes)) throw new Error('more than was announced');
      this.mayBytes += this.window.refill() - bytes;
      sent += bytes;
    }
    return sent;
  }

  /** Sends what it may and has it read at once. */
  stream(bytes: number): void {
    for (let left = bytes; left > 0; ) {
      const size = Math.min(left, this.mayBytes, 16_384);
      if (size === 0) throw new Error('it may send nothing');
      if (!this.window.receive(size)) throw new Error('more than was announced');
      this.mayBytes += this.window.release(size) - size;
      left -= size;
    }
  }
}

describe('[D14] the window of a connection', () => {
  test('grows with what is read, up to its bound, and takes that of the budget; the end gives it back', () => {
    const budget = new ReceiveBudget(128 * MIB);
    const peer = new Peer(budget);
    peer.stream(20 * MIB);
    expect(peer.mayBytes).toBeGreaterThan(2 * MIB);
    expect(peer.mayBytes).toBeLessThanOrEqual(4 * MIB);
    expect(budget.usedBytes).toBe(4 * MIB - INITIAL_WINDOW_BYTES);
    peer.window.close();
    expect(budget.usedBytes).toBe(0);
  });

  test('of an idle connection takes nothing of the budget', () => {
    const budget = new ReceiveBudget(128 * MIB);
    for (let count = 0; count < 1000; count++) new Peer(budget);
    expect(budget.usedBytes).toBe(0);
  });

  test('a thousand peers whose data nobody reads are held to the budget and 64 KiB each', () => {
    const budget = new ReceiveBudget(128 * MIB);
    const peers = Array.from({ length: 1000 }, () => new Peer(budget));
    const sent = peers.map((peer) => peer.sendAll());
    const held = peers.reduce((sum, { window }) => sum + window.heldBytes, 0);
    expect(held).toBe(sent.reduce((sum, bytes) => sum + bytes, 0));
    expect(held).toBeLessThanOrEqual(128 * MIB + 1000 * INITIAL_WINDOW_BYTES);
    expect(budget.scarce).toBe(true);
    // No peer can have it all, and the last one has what the protocol gives to everybody.
    expect(sent[0]).toBeLessThan(128 * MIB * 0.26);
    expect(sent.at(-1)).toBeGreaterThanOrEqual(INITIAL_WINDOW_BYTES);
    for (const peer of peers) peer.window.close();
    for (const { window } of peers) window.release(window.heldBytes);
    expect(budget.usedBytes).toBe(0);
  });

  test('what a stream holds does not stop the others while the budget covers it', () => {
    const peer = new Peer(new ReceiveBudget(128 * MIB));
    // A whole window, unread.
    for (let count = 0; count < 4; count++) {
      peer.window.receive(16_000);
      peer.mayBytes += peer.window.refill() - 16_000;
    }
    peer.stream(10 * MIB);
    expect(peer.window.heldBytes).toBe(64_000);
  });

  test('without any budget it goes on with 64 KiB, and with what of them is not held', () => {
    const peer = new Peer(new ReceiveBudget(0));
    peer.stream(2 * MIB);
    expect(peer.window.receive(60_000)).toBe(peer.mayBytes >= 60_000);
    const rest = new Peer(new ReceiveBudget(0));
    rest.window.receive(60_000);
    rest.mayBytes -= 60_000;
    for (let count = 0; count < 1000; count++) rest.stream(Math.min(2_000, rest.mayBytes));
    expect(rest.mayBytes).toBeGreaterThan(2_000);
  });

  test('becomes smaller by use when others need the budget', () => {
    const budget = new ReceiveBudget(16 * MIB);
    const busy = new Peer(budget);
    busy.stream(20 * MIB);
    const before = busy.mayBytes;
    const hogs = Array.from({ length: 100 }, () => new Peer(budget));
    for (const hog of hogs) hog.sendAll();
    busy.stream(20 * MIB);
    expect(busy.mayBytes).toBeLessThan(before / 3);
    for (const hog of hogs) hog.window.close();
    for (const { window } of hogs) window.release(window.heldBytes);
    busy.stream(20 * MIB);
    expect(busy.mayBytes).toBeGreaterThan(before / 2);
  });

  test('data that is read after the connection has gone is counted until then', () => {
    const budget = new ReceiveBudget(128 * MIB);
    const peer = new Peer(budget);
    peer.sendAll();
    const used = budget.usedBytes;
    peer.window.close();
    expect(budget.usedBytes).toBeLessThanOrEqual(used);
    expect(budget.usedBytes).toBe(peer.window.heldBytes - INITIAL_WINDOW_BYTES);
    peer.window.release(peer.window.heldBytes);
    expect(budget.usedBytes).toBe(0);
  });
});

describe('[D14] connections', () => {
  function serve(budget: ReceiveBudget) {
    const transport = new RecordingTransport();
    const handler = new RecordingHandler((stream, _head, complete) => {
      if (complete) stream.writeHead(new ResponseHead(200, []), true);
    });
    const connection = new Http2ServerConnection(
      transport,
      handler,
      http2ServerOptions({ receiveBudget: budget }),
    );
    connection.receive(
      Buffer.concat([Buffer.from(CONNECTION_PREFACE, 'latin1'), settings(), SETTINGS_ACK]),
    );
    return { transport, handler, connection };
  }

  test('twenty uploads that stand still do not stop the one that is read', () => {
    const { connection, handler, transport } = serve(new ReceiveBudget(128 * MIB));
    for (let id = 1; id <= 41; id += 2) {
      connection.receive(headers(id, 0, ...REQUEST));
      if (id < 41) handler.streams.at(-1)!.pause();
      if (id === 41) break;
      for (let count = 0; count < 16; count++) connection.receive(data(id, 0, 'x'.repeat(16_384)));
    }
    transport.frames();
    for (let count = 0; count < 40; count++)
      connection.receive(data(41, count === 39 ? END_STREAM : 0, 'y'.repeat(16_384)));
    expect(transport.frames()).toContain('Headers 41 [:status: 200] end');
    expect(connection.state).toBe('active');
  });

  test('made while the budget is nearly used up announce small stream windows', () => {
    const budget = new ReceiveBudget(1 * MIB);
    const windowOf = (transport: RecordingTransport) => {
      const bytes = transport.take();
      for (let at = 9; at < 9 + bytes.readUIntBE(0, 3); at += 6) {
        if (bytes.readUInt16BE(at) === 4) return bytes.readUInt32BE(at + 2);
      }
      return undefined;
    };
    expect(windowOf(serve(budget).transport)).toBe(256 * 1024);
    budget.usedBytes = 1 * MIB;
    expect(windowOf(serve(budget).transport)).toBe(32 * 1024);
  });

  test('a reset stream and an ended connection leave nothing in the budget', () => {
    const budget = new ReceiveBudget(128 * MIB);
    const { connection, handler } = serve(budget);
    for (const id of [1, 3]) {
      connection.receive(headers(id, 0, ...REQUEST));
      handler.streams.at(-1)!.pause();
      for (let count = 0; count < 15; count++) connection.receive(data(id, 0, 'x'.repeat(16_384)));
    }
    expect(budget.usedBytes).toBeGreaterThan(300_000);
    handler.streams[0]!.reset('localReset');
    expect(budget.usedBytes).toBeLessThan(300_000);
    connection.close('closed');
    expect(budget.usedBytes).toBe(0);
  });
});

describe('[D14] one upstream connection for many clients, some of which read nothing', () => {
  /** A connection to an upstream that answers with whatever its windows let it. */
  function fetch(budget: ReceiveBudget) {
    const [up, down] = [new RecordingTransport(), new RecordingTransport()];
    const client = new Http2ClientConnection(
      up,
      new RecordingListener(),
      http2ClientOptions({ receiveBudget: budget, nowMs: () => 0 }),
    );
    const handler = new RecordingHandler((stream) => {
      stream.writeHead(new ResponseHead(200, []), false);
      stream.writeData(Buffer.alloc(400_000, 'x'), true);
    });
    const origin = new Http2ServerConnection(
      down,
      handler,
      http2ServerOptions({ streamsMax: 1000, nowMs: () => 0 }),
    );
    const turn = () => {
      origin.receive(up.take());
      client.receive(down.take());
    };
    const get = (paused: boolean) => {
      const sink = new RecordingSink();
      const received = { bytes: 0, ended: false };
      sink.onData = (chunk, end) => {
        received.bytes += chunk.length;
        received.ended = end;
      };
      const head = new RequestHead('GET', 'http', 'a', '/', [], 'HTTP/1.1');
      const stream = client.request(head, true, sink);
      if (paused) stream.pause();
      return { stream, received };
    };
    return { client, up, turn, get };
  }

  test('hundreds of responses that stand still do not stop one that is read', () => {
    const budget = new ReceiveBudget(32 * MIB);
    const { client, turn, get } = fetch(budget);
    turn();
    const still = [];
    for (let count = 0; count < 200; count++) {
      still.push(get(true));
      if (count % 4 === 3) for (let index = 0; index < 4; index++) turn();
    }
    const { received } = get(false);
    for (let count = 0; count < 300; count++) turn();
    expect(received).toEqual({ bytes: 400_000, ended: true });
    expect(budget.usedBytes).toBeLessThan(32 * MIB * 0.2);

    // And when they go on, all of them come, and windows are large again.
    for (const { stream } of still) stream.resume();
    for (let count = 0; count < 2000; count++) turn();
    expect(still.every(({ received }) => received.ended)).toBe(true);
    expect(client.activeStreams).toBe(0);
    client.close('closed');
    expect(budget.usedBytes).toBe(0);
  });

  test('§6.9.2 a window that was made small counts when the peer has acknowledged it', () => {
    const serve = (acknowledged: boolean) => {
      const transport = new RecordingTransport();
      const handler = new RecordingHandler(() => {});
      const budget = new ReceiveBudget(4 * MIB);
      const connection = new Http2ServerConnection(
        transport,
        handler,
        http2ServerOptions({ receiveBudget: budget, nowMs: () => 0 }),
      );
      connection.receive(
        Buffer.concat([Buffer.from(CONNECTION_PREFACE, 'latin1'), settings(), SETTINGS_ACK]),
      );
      for (const id of [1, 3, 5, 7]) {
        connection.receive(headers(id, 0, ...REQUEST));
        handler.streams.at(-1)!.pause();
      }
      transport.frames();
      // Half a megabyte is too much for such a budget.
      for (const id of [1, 3, 5]) {
        for (let count = 0; count < 15; count++)
          connection.receive(data(id, 0, 'x'.repeat(16_384)));
      }
      expect(transport.frames()).toContain('Settings');
      if (acknowledged) connection.receive(SETTINGS_ACK);
      connection.receive(data(7, 0, 'x'.repeat(16_384)));
      connection.receive(data(7, 0, 'x'));
      return transport.frames().filter((line) => line.startsWith('RstStream'));
    };
    expect(serve(false)).toEqual([]);
    expect(serve(true)).toEqual(['RstStream 7 FLOW_CONTROL_ERROR']);
  });
});

test('[D14] a chunk that is held does not keep alive the large read that it came in', () => {
  const inbox = new Inbox();
  const read = Buffer.allocUnsafeSlow(65_536);
  inbox.push(read.subarray(0, 2_000));
  inbox.push(read.subarray(2_000, 2_000 + 16_384));
  const [small, large] = [inbox.shift(), inbox.shift()];
  expect([small.length, small.buffer.byteLength]).toEqual([2_000, 2_000]);
  expect([large.length, large.buffer]).toEqual([16_384, read.buffer]);
});
