import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { FRAME_HEAD_BYTES, FrameHead, readFrameHead } from '../../proxy/http2/frame/frame-head.ts';
import { CONNECTION_PREFACE } from '../../proxy/http2/frame-reader.ts';

export interface FrameRelay {
  readonly port: number;
  /** Frames that clients have sent, by type (RFC 9113 §6). */
  readonly frames: ReadonlyMap<number, number>;
  close(): void;
}

/** Between HTTP/2 clients and the port that they mean: counts what they send. */
export async function frameRelay(to: number): Promise<FrameRelay> {
  const frames = new Map<number, number>();
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const onward = connect(to, '127.0.0.1');
    for (const [socket, other] of [
      [client, onward],
      [onward, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
    client.on('data', countFrames(frames));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    frames,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function countFrames(frames: Map<number, number>): (bytes: Buffer) => void {
  const head = new FrameHead();
  let rest: Buffer = Buffer.alloc(0);
  let skip = CONNECTION_PREFACE.length;
  return (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    for (;;) {
      const skipped = Math.min(skip, rest.length);
      rest = rest.subarray(skipped);
      skip -= skipped;
      if (skip > 0 || rest.length < FRAME_HEAD_BYTES) return;
      readFrameHead(rest, 0, head);
      frames.set(head.type, (frames.get(head.type) ?? 0) + 1);
      skip = FRAME_HEAD_BYTES + head.length;
    }
  };
}
