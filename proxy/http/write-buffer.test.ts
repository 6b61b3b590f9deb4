import { describe, expect, test } from 'vitest';
import type { CollectingTransport, WriteSource } from './transport.ts';
import { reuseCollected, WriteBuffer } from './write-buffer.ts';

/** Keeps what it is given without copying it, as a socket does until the kernel has taken it. */
class KeepingTransport implements CollectingTransport {
  readonly kept: Buffer[] = [];
  source: WriteSource | null = null;
  readonly bufferedBytes = 0;
  write(bytes: Buffer | string): boolean {
    this.kept.push(bytes as Buffer);
    return true;
  }
  flushLater(source: WriteSource): void {
    this.source = source;
  }
  end(): void {}
  closeAfterFlush(): void {}
  abort(): void {}
  destroy(): void {}
  pauseReading(): void {}
  resumeReading(): void {}
}

describe('write buffer', () => {
  test('connections that write in turns never write into what another one has handed over', () => {
    const peers = Array.from({ length: 3 }, () => {
      const transport = new KeepingTransport();
      return { transport, buffer: new WriteBuffer(transport), expected: [] as Buffer[] };
    });
    // Sizes around every bound: the rest of a slab, a copy, a slab.
    const sizes = [1, 9, 700, 1_024, 2_047, 2_048, 2_049, 5_000, 8_192, 8_193, 16_384, 70_000];
    let fill = 0;
    for (let round = 0; round < 60; round++) {
      for (const [index, { buffer, transport, expected }] of peers.entries()) {
        const size = sizes[(round * 5 + index) % sizes.length]!;
        const chunk = Buffer.alloc(size, fill++ % 251);
        if (round % 3 === 0) {
          buffer.reserve(size);
          buffer.bytes.set(chunk, buffer.at);
          buffer.at += size;
        } else {
          buffer.reserve(9);
          buffer.bytes.fill(fill % 251, buffer.at, buffer.at + 9);
          buffer.at += 9;
          expected.push(Buffer.alloc(9, fill % 251));
          buffer.append(chunk, 0, size);
        }
        expected.push(chunk);
        if ((round + index) % 4 === 0) {
          expect(transport.source).toBe(buffer);
          transport.source = null;
          buffer.flush();
        }
      }
    }
    for (const { buffer, transport, expected } of peers) {
      buffer.flush();
      expect(Buffer.concat(transport.kept).equals(Buffer.concat(expected))).toBe(true);
      expect(buffer.pendingBytes).toBe(0);
    }
  });

  test('memory that the kernel has is written again, unless something was written behind it', () => {
    const transport = new KeepingTransport();
    const buffer = new WriteBuffer(transport);
    const other = new WriteBuffer(transport);
    const put = (to: WriteBuffer, text: string) => {
      to.put(Buffer.from(text));
      to.flush();
      return transport.kept.at(-1)!;
    };
    const first = put(buffer, 'first');
    reuseCollected(first);
    const second = put(other, 'again');
    expect(second.byteOffset).toBe(first.byteOffset);
    expect(second.buffer).toBe(first.buffer);
    // Not told, and told too late.
    const third = put(buffer, 'third');
    expect(third.byteOffset).toBe(second.byteOffset + second.length);
    reuseCollected(second);
    expect(put(buffer, 'fourth').byteOffset).toBe(third.byteOffset + third.length);
    expect(`${second}${third}`).toBe('againthird');
  });

  test('memory is not written again while more is collected behind it', () => {
    const transport = new KeepingTransport();
    const buffer = new WriteBuffer(transport);
    buffer.put(Buffer.from('head'));
    buffer.append(Buffer.alloc(10_000), 0, 10_000);
    const head = transport.kept[0]!;
    buffer.put(Buffer.from('tail'));
    reuseCollected(head);
    buffer.flush();
    buffer.put(Buffer.from('next'));
    buffer.flush();
    expect(transport.kept.map((kept) => kept.toString('latin1', 0, 4))).toEqual([
      'head',
      '\0\0\0\0',
      'tail',
      'next',
    ]);
  });

  test('the owner is asked for a flush once a turn', () => {
    const transport = new KeepingTransport();
    const buffer = new WriteBuffer(transport);
    buffer.reserve(4);
    transport.source = null;
    buffer.reserve(4);
    expect(transport.source).toBe(null);
    buffer.flush();
    buffer.reserve(4);
    expect(transport.source).toBe(buffer);
  });
});
