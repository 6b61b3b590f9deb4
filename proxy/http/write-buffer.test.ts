import { describe, expect, test } from 'vitest';
import type { CollectingTransport, WriteSource } from './transport.ts';
import { WriteBuffer } from './write-buffer.ts';

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
