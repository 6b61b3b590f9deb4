import type { Socket } from 'node:net';

/**
 * Gives a connection to `take` once its first bytes have come, which stay in it to be read. Node.js reads a TLS connection
 * into a buffer that it keeps for the connection's life: 64 KiB, where the first bytes come while TLS already waits for
 * them, and a request of a thousand names has written to all of it. What is there before TLS begins is given to it as it
 * is, and the buffer is of that size and one of 16 KiB. A connection that says nothing for `waitMs` is closed.
 */
export function afterFirstBytes(
  socket: Socket,
  waitMs: number,
  take: (socket: Socket) => void,
): void {
  const close = (): void => {
    socket.destroy();
  };
  const readable = (): void => {
    socket.off('error', close);
    socket.off('timeout', close);
    socket.setTimeout(0);
    // It ended, having said nothing.
    if (socket.readableLength === 0) socket.destroy();
    else take(socket);
  };
  socket.on('error', close);
  socket.setTimeout(waitMs, close);
  socket.once('readable', readable);
}
