import { connect, type Socket } from 'node:net';

/** Sends bytes as they are and gives all that came back once the peer has closed (or `enough` says so). */
export function rawExchange(
  port: number,
  bytes: string | Buffer,
  options: {
    readonly enough?: (text: string) => boolean;
    readonly timeoutMs?: number;
    readonly host?: string;
    /** Half-close after the bytes. */
    readonly end?: boolean;
  } = {},
): Promise<{ text: string; closed: boolean }> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket: Socket = connect(
      { port, host: options.host ?? '127.0.0.1', allowHalfOpen: true },
      () => {
        socket.write(bytes);
        if (options.end === true) socket.end();
      },
    );
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`no end of the exchange; so far: ${JSON.stringify(text.slice(0, 500))}`));
    }, options.timeoutMs ?? 15_000);
    const finish = (closed: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ text, closed });
    };
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (options.enough?.(text) === true) finish(false);
    });
    socket.on('end', () => finish(true));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET' || error.code === 'EPIPE') finish(true);
      else {
        clearTimeout(timer);
        reject(error);
      }
    });
  });
}
