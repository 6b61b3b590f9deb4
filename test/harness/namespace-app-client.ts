import { join } from 'node:path';
import type { Calls } from './namespace-app.ts';
import { APP_USER, type HostNamespace, type User } from './network-namespace.ts';

/** The test's hand on an app in a namespace: each call runs there. */
export type NamespaceApp = Calls & { readonly pid: number };

/** Starts `namespace-app.ts` on a host, under a UID of its own and without a capability. */
export async function namespaceApp(
  host: HostNamespace,
  user: User = APP_USER,
): Promise<NamespaceApp> {
  const program = [process.execPath, join(import.meta.dirname, 'namespace-app.ts')];
  const child = host.spawn(program, { user, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  const expect = (id: number): Promise<unknown> =>
    new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
  child.on('message', (message: { id: number; value?: unknown; error?: string }) => {
    const pending = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error === undefined) pending?.resolve(message.value);
    else pending?.reject(new Error(`${host.name}: ${message.error}`));
  });
  child.once('exit', (code) => {
    const error = new Error(`the app on ${host.name} ended with ${code}`);
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  });
  await expect(0);
  let ids = 0;
  const call =
    <Name extends keyof Calls>(name: Name) =>
    (options: Parameters<Calls[Name]>[0]): ReturnType<Calls[Name]> => {
      const id = ++ids;
      const answer = expect(id);
      child.send({ id, call: name, options });
      return answer as ReturnType<Calls[Name]>;
    };
  return {
    pid: child.pid!,
    http: call('http'),
    tcp: call('tcp'),
    tls: call('tls'),
    request: call('request'),
    exchange: call('exchange'),
    served: call('served'),
    latencies: call('latencies'),
    resume: call('resume'),
  };
}
