import { describe, expect, test } from 'vitest';
import { FRAME_SLABS, slabOf } from './slab.ts';
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

/** Makes the next bytes stand at the front of a slab of which nothing is out. */
function freshSlab(buffer: WriteBuffer): void {
  buffer.reserve(64 * 1024);
  buffer.flush();
}

describe('write buffer', () => {
  test('connections that write in turns never write into what another one has handed over', () => {
    const peers = Array.from({ length: 3 }, () => {
      const transport = new KeepingTransport();
      return {
        transport,
        buffer: new WriteBuffer(FRAME_SLABS, transport),
        expected: [] as Buffer[],
      };
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
    const buffer = new WriteBuffer(FRAME_SLABS, transport);
    const other = new WriteBuffer(FRAME_SLABS, transport);
    const put = (to: WriteBuffer, text: string) => {
      to.put(Buffer.from(text));
      to.flush();
      return transport.kept.at(-1)!;
    };
    freshSlab(buffer);
    const first = put(buffer, 'first');
    slabOf(first)!.taken();
    const second = put(other, 'again');
    expect(second.byteOffset).toBe(first.byteOffset);
    expect(second.buffer).toBe(first.buffer);
    // Not told, and told too late.
    const third = put(buffer, 'third');
    expect(third.byteOffset).toBe(second.byteOffset + second.length);
    expect(slabOf(second)).toBeNull();
    expect(put(buffer, 'fourth').byteOffset).toBe(third.byteOffset + third.length);
    expect(`${second}${third}`).toBe('againthird');
  });

  test('memory is not written again while more is collected behind it', () => {
    const transport = new KeepingTransport();
    const buffer = new WriteBuffer(FRAME_SLABS, transport);
    freshSlab(buffer);
    buffer.put(Buffer.from('head'));
    buffer.append(Buffer.alloc(10_000), 0, 10_000);
    const head = slabOf(transport.kept[0]!)!;
    buffer.put(Buffer.from('tail'));
    head.taken();
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

  test('memory of several writes is written again when the last of them has been taken, in whatever order', () => {
    const transport = new KeepingTransport();
    const buffer = new WriteBuffer(FRAME_SLABS, transport);
    freshSlab(buffer);
    const parts = ['one', 'two', 'three'].map((text) => {
      buffer.put(Buffer.from(text));
      buffer.flush();
      const bytes = transport.kept.at(-1)!;
      return { bytes, slab: slabOf(bytes)! };
    });
    const next = () => {
      buffer.put(Buffer.from('next'));
      buffer.flush();
      const bytes = transport.kept.at(-1)!;
      slabOf(bytes)!.taken();
      return bytes;
    };
    parts[2]!.slab.taken();
    parts[0]!.slab.taken();
    expect(next().byteOffset).toBe(parts[2]!.bytes.byteOffset + 5);
    parts[1]!.slab.taken();
    expect(next().byteOffset).toBe(parts[0]!.bytes.byteOffset);
  });

  test('a slab that is used up comes back when all of it has been taken', () => {
    const transport = new KeepingTransport();
    const buffer = new WriteBuffer(FRAME_SLABS, transport);
    freshSlab(buffer);
    const fill = () => {
      buffer.reserve(60 * 1024);
      buffer.at += 60 * 1024;
      buffer.flush();
      return transport.kept.at(-1)!;
    };
    const first = fill();
    const slab = slabOf(first)!;
    expect(fill().buffer).not.toBe(first.buffer);
    slab.taken();
    expect(fill().buffer).toBe(first.buffer);
  });

  test('the owner is asked for a flush once a turn', () => {
    const transport = new KeepingTransport();
    const buffer = new WriteBuffer(FRAME_SLABS, transport);
    buffer.reserve(4);
    transport.source = null;
    buffer.reserve(4);
    expect(transport.source).toBe(null);
    buffer.flush();
    buffer.reserve(4);
    expect(transport.source).toBe(buffer);
  });
});
