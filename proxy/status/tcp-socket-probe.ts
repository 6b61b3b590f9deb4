import { connect } from 'node:net';
import { type AppAddress, bindFrom } from './app-address.ts';
import { connectProblem, type ProbeOutcome, unwell, WELL } from './probe-outcome.ts';

/** Whether the app takes a connection. Never rejects. */
export function probeByTcpSocket(
  { port, timeoutMs }: { readonly port: number; readonly timeoutMs: number },
  app: AppAddress,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  return new Promise((resolve) => {
    const socket = connect({ host: app.host, port, ...bindFrom(app) });
    const finish = (outcome: ProbeOutcome): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      resolve(outcome);
    };
    const failed = (why: string) => finish(unwell(`TCP ${app.host}:${port}: ${why}`));
    const onAbort = () => failed('nobody waits for the answer');
    const timer = setTimeout(() => failed(`no connection within ${timeoutMs / 1000} s`), timeoutMs);
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('connect', () => finish(WELL));
    socket.on('error', (error) => failed(connectProblem(error)));
  });
}
