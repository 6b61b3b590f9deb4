import type { ClientHttp2Session } from 'node:http2';
import type { MeshResponse } from './mesh-request.ts';

/** A GET over an HTTP/2 connection to a sidecar's outbound port: what an app sends that speaks HTTP/2 without TLS. */
export function http2Get(
  session: ClientHttp2Session,
  authority: string,
  path = '/x',
): Promise<MeshResponse> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':authority': authority, ':path': path });
    let body = '';
    let headers: MeshResponse['headers'] = {};
    let status = 0;
    stream.setEncoding('utf8');
    stream.on('response', (fields) => {
      status = fields[':status'] ?? 0;
      headers = fields as MeshResponse['headers'];
    });
    stream.on('data', (text: string) => {
      body += text;
    });
    stream.on('error', reject);
    stream.on('end', () => resolve({ status, body, headers }));
    stream.end();
  });
}
