import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';

/** Where redirected connections shall arrive: a port on loopback, ours or that of a sidecar which runs already. */
export interface ProbeListener {
  /** The port was taken: arrivals are seen in the kernel's list of connections. */
  readonly foreign: boolean;
  /** Resolves true when the connection from this local port arrives, false when `givenUp` says so first. */
  arrival(fromPort: number, givenUp: () => boolean): Promise<boolean>;
  close(): void;
}

const LOOK_AGAIN_MS = 20;

export async function listenTcp(host: string, port: number): Promise<ProbeListener> {
  const arrived = new Map<number, Socket>();
  const server = createServer((socket) => {
    socket.on('error', () => {});
    if (socket.remotePort !== undefined) arrived.set(socket.remotePort, socket);
  });
  const code = await new Promise<string>((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => resolve(''));
  });
  if (code !== '' && code !== 'EADDRINUSE') {
    throw new ListenError(`cannot listen on ${host} port ${port}: ${code}`);
  }
  const foreign = code !== '';
  return {
    foreign,
    arrival: (fromPort, givenUp) =>
      poll(givenUp, () => (foreign ? kernelHas(port, fromPort) : arrived.has(fromPort))),
    close: () => {
      for (const socket of arrived.values()) socket.destroy();
      if (!foreign) server.close();
    },
  };
}

interface ProbeDatagrams {
  readonly foreign: boolean;
  arrival(payload: Buffer, givenUp: () => boolean): Promise<boolean>;
  close(): void;
}

export async function listenUdp(host: string, port: number): Promise<ProbeDatagrams> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  const arrived = new Set<string>();
  socket.on('message', (payload) => void arrived.add(payload.toString('hex')));
  const code = await new Promise<string>((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.bind({ address: host, port, exclusive: true }, () => resolve(''));
  });
  if (code !== '' && code !== 'EADDRINUSE') {
    throw new ListenError(`cannot listen on ${host} UDP port ${port}: ${code}`);
  }
  return {
    foreign: code !== '',
    arrival: (payload, givenUp) => poll(givenUp, () => arrived.has(payload.toString('hex'))),
    close: () => void socket.close(),
  };
}

/** A port of the proof cannot be had. */
export class ListenError extends Error {
  readonly code = 'WEFT_PROBE_LISTEN';
}

async function poll(givenUp: () => boolean, there: () => boolean): Promise<boolean> {
  while (!there()) {
    if (givenUp()) return there();
    await new Promise((done) => setTimeout(done, LOOK_AGAIN_MS));
  }
  return true;
}

/** proc(5): `sl local_address rem_address …`, each `HEX:PORT`. */
function kernelHas(localPort: number, remotePort: number): boolean {
  const hex = (port: number) => port.toString(16).toUpperCase().padStart(4, '0');
  const pair = new RegExp(
    `^\\s*\\d+: [0-9A-F]+:${hex(localPort)} [0-9A-F]+:${hex(remotePort)} `,
    'm',
  );
  return ['/proc/net/tcp', '/proc/net/tcp6'].some((file) => {
    try {
      return pair.test(readFileSync(file, 'latin1'));
    } catch {
      return false;
    }
  });
}
