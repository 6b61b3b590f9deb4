import { connect } from 'node:net';
import { splitHostPort } from '../run/sidecar-bootstrap.ts';
import type { MeshAnswer, MeshClient } from './mesh-client.ts';

/** What the demo sees of the mesh from outside: which versions answer, what a stranger gets, which certificate is held. */

/** `count` requests, ten at a time. */
export async function many(
  client: MeshClient,
  count: number,
  url: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<MeshAnswer[]> {
  const answers: MeshAnswer[] = [];
  let left = count;
  await Promise.all(
    Array.from({ length: 10 }, async () => {
      while (left > 0) {
        left -= 1;
        answers.push(await client.get(url, headers));
      }
    }),
  );
  return answers;
}

/** How many answers each version gave; what was no answer of reviews counts under its status or error. */
export function countVersions(answers: readonly MeshAnswer[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { status, body, error } of answers) {
    const version =
      status === 200
        ? (/"podname":"reviews-(v\d)"/.exec(body)?.[1] ?? '?')
        : error || String(status);
    counts.set(version, (counts.get(version) ?? 0) + 1);
  }
  return counts;
}

export function showCounts(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([version, count]) => `${count} from ${version}`).join(', ');
}

/** Sends plain HTTP to a sidecar's inbound port: the status line, or '' where it closed without a byte. */
export function plainText(address: string): Promise<string> {
  const { host, port } = splitHostPort(address);
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect({ host, port }, () => {
      socket.write('GET /reviews/0 HTTP/1.1\r\nhost: reviews:9080\r\nconnection: close\r\n\r\n');
    });
    socket.setTimeout(5000, () => socket.destroy());
    socket.on('data', (bytes: Buffer) => {
      answer += bytes.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(answer.split('\r\n')[0] ?? ''));
  });
}

/** The serial number of a sidecar's own certificate, from its admin port; '' where there is none yet. */
export async function certificateSerial(admin: string): Promise<string> {
  try {
    const text = await (await fetch(`http://${admin}/certs`)).text();
    const { certificates } = JSON.parse(text) as {
      certificates: { cert_chain?: { serial_number: string }[] }[];
    };
    return (
      certificates.find(({ cert_chain: chain }) => (chain?.length ?? 0) > 0)?.cert_chain?.[0]
        ?.serial_number ?? ''
    );
  } catch {
    return '';
  }
}
