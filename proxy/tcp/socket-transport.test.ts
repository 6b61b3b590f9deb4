import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { FRAME_SLABS } from '../http/slab.ts';
import { WriteBuffer } from '../http/write-buffer.ts';
import { ManualClock } from './manual-clock.testing.ts';
import { DEFAULT_TRANSPORT_OPTIONS, SocketTransport } from './socket-transport.ts';
import { TimerLists } from './timer-list.ts';

const open: { destroy(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.destroy();
});

/** What a transport told, and promises for what it will tell. */
class Recorder {
  readonly events: string[] = [];
  readonly chunks: Buffer[] = [];
  readonly #waiting: { test: () => boolean; resolve: () => void }[] = [];

  receive(bytes: Buffer): void {
    this.chunks.push(bytes);
    this.#check();
  }
  receiveEnd(): void {
    this.#add('end');
  }
  close(detail: string): void {
    this.#add(`close ${detail}`);
  }
  onTransportDrain(): void {
    this.#add('drain');
  }
  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }
  until(test: () => boolean): Promise<void> {
    if (test()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ test, resolve }));
  }
  #add(event: string): void {
    this.events.push(event);
    this.#check();
  }
  #check(): void {
    for (const { test, resolve } of this.#waiting) if (test()) resolve();
  }
}

/** A transport on the accepted side of a loopback connection, and the raw socket of the other side. */
async function pair(options = DEFAULT_TRANSPORT_OPTIONS, timers = new TimerLists()) {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const peer = connect({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    allowHalfOpen: true,
  });
  const [accepted] = (await once(server, 'connection')) as [Socket];
  server.close();
  const transport = new SocketTransport(accepted, timers, options);
  const recorder = new Recorder();
  peer.on('error', () => {});
  open.push(peer, transport);
  return { transport, recorder, peer };
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

describe('SocketTransport', () => {
  test('writes of one turn leave in one write', async () => {
    const { transport, recorder, peer } = await pair();
    transport.attach(recorder);
    let writes = 0;
    const original = transport.socket.write.bind(transport.socket);
    transport.socket.write = ((...args: Parameters<typeof original>) => {
      writes++;
      return original(...args);
    }) as typeof transport.socket.write;
    transport.write('HTTP/1.1 200 OK\r\n');
    transport.write(Buffer.from([0xe9, 0x00]));
    transport.write('\r\né');
    expect(transport.bufferedBytes).toBe(22);
    const [bytes] = (await once(peer, 'data')) as [Buffer];
    expect(bytes.toString('latin1')).toBe('HTTP/1.1 200 OK\r\né\0\r\né');
    expect(writes).toBe(1);
    expect(transport.bytesSent).toBe(22);
  });

  test.each(['at the end of the turn', 'before a FIN of the same turn'])(
    'what a write source has collected leaves %s, in one write',
    async (when) => {
      const { transport, recorder, peer } = await pair();
      transport.attach(recorder);
      let flushes = 0;
      transport.flushLater({
        flush() {
          flushes++;
          transport.write('collected');
        },
      });
      if (when.includes('FIN')) transport.closeAfterFlush();
      const chunks: Buffer[] = [];
      peer.on('data', (chunk: Buffer) => chunks.push(chunk));
      if (when.includes('FIN')) await once(peer, 'end');
      else await once(peer, 'data');
      expect(Buffer.concat(chunks).toString()).toBe('collected');
      expect(flushes).toBe(1);
    },
  );

  test('collected memory is not written again before the kernel has it: a slow peer reads what was meant', async () => {
    const slow = await pair();
    const quick = await pair();
    for (const { transport, recorder } of [slow, quick]) transport.attach(recorder);
    const buffers = [slow, quick].map(({ transport }) => new WriteBuffer(FRAME_SLABS, transport));
    slow.peer.pause();
    quick.peer.resume();
    // Beyond what the kernel takes, and on until the socket has held some of it for many turns.
    const expected: Buffer[] = [];
    let waitingTurns = 0;
    for (let turn = 0; waitingTurns < 50; turn++) {
      const chunk = Buffer.alloc(8_000, turn % 251);
      for (const buffer of buffers) buffer.append(chunk, 0, chunk.length);
      expected.push(chunk);
      await turns(1);
      if (slow.transport.bufferedBytes > 0) waitingTurns++;
    }
    slow.transport.end();
    quick.transport.end();
    const received: Buffer[] = [];
    slow.peer.on('data', (bytes: Buffer) => received.push(bytes));
    slow.peer.resume();
    await once(slow.peer, 'end');
    expect(Buffer.concat(received).equals(Buffer.concat(expected))).toBe(true);
  });

  test('bytes of a peek come first', async () => {
    const { transport, recorder, peer } = await pair();
    peer.write('second');
    transport.attach(recorder, Buffer.from('first '));
    await recorder.until(() => recorder.text === 'first second');
  });

  test('[PR-11] a half-close passes both ways', async () => {
    const { transport, recorder, peer } = await pair();
    transport.attach(recorder);
    peer.end('question');
    await recorder.until(() => recorder.events.includes('end'));
    expect(recorder.text).toBe('question');
    transport.write('answer');
    transport.end();
    const chunks: Buffer[] = [];
    peer.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(peer, 'end');
    expect(Buffer.concat(chunks).toString()).toBe('answer');
    await recorder.until(() => recorder.events.includes('close closed'));
  });

  test('write says stop above the high watermark and tells when it drains', async () => {
    const { transport, recorder, peer } = await pair({
      highWatermarkBytes: 64 * 1024,
      delayedCloseMs: 0,
    });
    transport.attach(recorder);
    peer.pause();
    const chunk = Buffer.alloc(64 * 1024);
    let sent = 0;
    while (transport.write(chunk)) {
      sent += chunk.length;
      await new Promise((resolve) => setImmediate(resolve));
    }
    sent += chunk.length;
    expect(recorder.events).toEqual([]);
    let received = 0;
    peer.on('data', (bytes: Buffer) => {
      received += bytes.length;
    });
    peer.resume();
    await recorder.until(() => recorder.events.includes('drain'));
    expect(transport.bufferedBytes).toBe(0);
    transport.end();
    await once(peer, 'end');
    expect(received).toBe(sent);
  });

  test('a paused transport reads nothing until it is resumed', async () => {
    const { transport, recorder, peer } = await pair();
    transport.pauseReading();
    transport.attach(recorder);
    peer.end('later');
    await new Promise((resolve) => setImmediate(resolve));
    expect(recorder.text).toBe('');
    transport.resumeReading();
    await recorder.until(() => recorder.text === 'later');
  });

  test('closeAfterFlush delivers what was written while the peer still sends', async () => {
    const { transport, recorder, peer } = await pair();
    transport.attach(recorder);
    peer.write(Buffer.alloc(100_000));
    await recorder.until(() => recorder.chunks.length > 0);
    transport.write('413');
    transport.closeAfterFlush();
    peer.write(Buffer.alloc(1_000_000));
    const [bytes] = (await once(peer, 'data')) as [Buffer];
    expect(bytes.toString()).toBe('413');
    peer.end();
    await recorder.until(() => recorder.events.some((event) => event.startsWith('close')));
  });

  test('the delayed close ends a connection whose peer does not close', async () => {
    const { transport, recorder, peer } = await pair({
      highWatermarkBytes: 1024,
      delayedCloseMs: 20,
    });
    transport.attach(recorder);
    peer.resume();
    transport.write('bye');
    transport.closeAfterFlush();
    await recorder.until(() => recorder.events.includes('close closed'));
    expect(transport.destroyed).toBe(true);
  });

  test('[I4] a slow reader gets all that was written before the close', async () => {
    const clock = new ManualClock();
    const { transport, recorder, peer } = await pair(
      DEFAULT_TRANSPORT_OPTIONS,
      new TimerLists(clock),
    );
    transport.attach(recorder);
    const total = 32 * 1024 * 1024;
    transport.write(Buffer.alloc(total, 'x'));
    transport.closeAfterFlush();
    await turns(20);
    clock.advance(20_000);
    await turns(5);
    let received = 0;
    peer.on('data', (bytes: Buffer) => {
      received += bytes.length;
    });
    await once(peer, 'end');
    expect(received).toBe(total);
  });

  test('[I4] a reader that takes nothing at all is cut with a reset, not with an end', async () => {
    const clock = new ManualClock();
    const { transport, recorder, peer } = await pair(
      DEFAULT_TRANSPORT_OPTIONS,
      new TimerLists(clock),
    );
    transport.attach(recorder);
    transport.write(Buffer.alloc(32 * 1024 * 1024, 'x'));
    transport.closeAfterFlush();
    await turns(20);
    for (let second = 0; second < 40; second++) clock.advance(1000);
    expect(transport.destroyed).toBe(true);
    const [error] = (await once(peer.resume(), 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNRESET');
  });

  test('an abort sends what was written, then a reset', async () => {
    const { transport, recorder, peer } = await pair();
    transport.attach(recorder);
    let received = 0;
    peer.on('data', (bytes: Buffer) => {
      received += bytes.length;
    });
    // More than the kernel takes at once: a reset right away would drop most of it.
    transport.write(Buffer.alloc(16 * 1024 * 1024));
    transport.abort();
    const [error] = (await once(peer, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNRESET');
    expect(received).toBeGreaterThan(8 * 1024 * 1024);
  });

  test('a reset is told once, with its reason', async () => {
    const { transport, recorder, peer } = await pair();
    transport.attach(recorder);
    peer.resetAndDestroy();
    await recorder.until(() => recorder.events.length > 0);
    expect(recorder.events).toEqual(['close ECONNRESET']);
    expect(transport.write('too late')).toBe(true);
  });
});
