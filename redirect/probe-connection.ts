import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import type { ProbeTarget } from './probe-target.ts';

/** Whose connection it is: the rules look at user and group. `null`: as this process is. */
export interface ProbeOwner {
  readonly uid: number | null;
  readonly gid: number | null;
}

/** An attempt to connect, held open until `close`. */
export interface ProbeConnection {
  /** Local port; 0 where not even that was had. */
  readonly fromPort: number;
  /** So far. `failed`: it will never open, with the error's code. */
  state(): 'connecting' | 'open' | { readonly failed: string };
  close(): void;
}

/** Local address that the kernel would send from; null where it has no route. Sends nothing. */
export function sourceAddress({ address }: ProbeTarget): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    const end = (result: string | null) => {
      socket.close();
      resolve(result);
    };
    // On failure the callback gets the error, which the types do not say.
    socket.connect(9, address, ((error?: Error) => {
      end(error === undefined || error === null ? socket.address().address : null);
    }) as () => void);
  });
}

/** Resolves as soon as the local port is known, the answer of the other side may be out. */
export async function openConnection(
  target: ProbeTarget,
  from: string,
  owner: ProbeOwner,
): Promise<ProbeConnection | { readonly refused: string }> {
  return owner.uid === null && owner.gid === null
    ? ownConnection(target, from)
    : connectionAs(target, from, owner);
}

async function ownConnection(
  { address, port }: ProbeTarget,
  from: string,
): Promise<ProbeConnection> {
  let state: ReturnType<ProbeConnection['state']> = 'connecting';
  // A port bound before the connection is known at once; port 0 lets the kernel choose.
  const socket = connect({ host: address, port, localAddress: from, autoSelectFamily: false });
  socket.once('connect', () => {
    state = 'open';
  });
  socket.on('error', (error: NodeJS.ErrnoException) => {
    state = { failed: error.code ?? error.message };
  });
  const handle = socket as unknown as {
    _handle?: { getsockname(out: { port?: number }): number } | null;
  };
  await new Promise((done) => setImmediate(done));
  const name: { port?: number } = {};
  handle._handle?.getsockname(name);
  return {
    fromPort: name.port ?? 0,
    state: () => state,
    close: () => void socket.destroy(),
  };
}

/** For `node -e`. Prints its local port, then what came of the connection; ends with its standard input. */
const CHILD = `
const socket = require('node:net').connect(OPTIONS);
socket.on('connect', () => process.stdout.write('open\\n'));
socket.on('error', (error) => process.stdout.write(error.code + '\\n'));
setImmediate(() => {
  const name = {};
  socket._handle?.getsockname(name);
  process.stdout.write('port ' + (name.port ?? 0) + '\\n');
});
process.stdin.on('end', () => process.exit(0)).resume();
`;

function connectionAs(
  { address, port }: ProbeTarget,
  from: string,
  { uid, gid }: ProbeOwner,
): Promise<ProbeConnection | { readonly refused: string }> {
  return new Promise((resolve) => {
    const options = JSON.stringify({
      host: address,
      port,
      localAddress: from,
      autoSelectFamily: false,
    });
    let said = '';
    let child: ReturnType<typeof spawn>;
    try {
      child = spawn(process.execPath, ['-e', CHILD.replace('OPTIONS', options)], {
        cwd: '/',
        env: {},
        stdio: ['pipe', 'pipe', 'ignore'],
        ...(uid === null ? {} : { uid }),
        ...(gid === null ? {} : { gid }),
      });
    } catch (error) {
      resolve({ refused: (error as Error).message });
      return;
    }
    const close = () => void child.kill('SIGKILL');
    child.once('error', (error: NodeJS.ErrnoException) => {
      resolve({ refused: error.code ?? error.message });
    });
    child.once('exit', () => resolve({ refused: 'the probe ended early' }));
    child.stdin?.on('error', () => {});
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      const fromPort = /^port (\d+)$/m.exec(said)?.[1];
      if (fromPort === undefined) return;
      const state = () => {
        const code = said.split('\n').find((line) => line !== '' && !line.startsWith('port '));
        if (code === undefined) return 'connecting';
        return code === 'open' ? 'open' : { failed: code };
      };
      resolve({ fromPort: Number(fromPort), state, close });
    });
  });
}
