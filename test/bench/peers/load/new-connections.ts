/**
 * Opens TLS connections one after the other on `lanes` lanes, each with a full handshake (no session is kept), one GET and a
 * close, for so many seconds; prints how many went well. The first that does not ends it with exit code 1 and the reason.
 *
 *   node load/new-connections.ts PORT PATH LANES SECONDS
 */
import { connect } from 'node:tls';

const [port = 0, , lanes = 1, seconds = 1] = process.argv.slice(2).map(Number);
const path = process.argv[3] ?? '/';
const request = `GET ${path} HTTP/1.1\r\nhost: server.default.svc.cluster.local\r\nconnection: close\r\n\r\n`;

function exchange(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      session: undefined,
    });
    let answer = '';
    socket.setEncoding('latin1').on('data', (text: string) => {
      answer += text;
    });
    socket.once('secureConnect', () => {
      if (socket.isSessionReused()) reject(new Error('the session was reused'));
      socket.write(request);
    });
    socket.once('error', reject);
    socket.once('close', () => {
      if (/^HTTP\/1\.1 2\d\d /.test(answer)) resolve();
      else reject(new Error(`answered ${JSON.stringify(answer.slice(0, 60))}`));
    });
  });
}

const endMs = performance.now() + seconds * 1000;
let count = 0;
async function lane(): Promise<void> {
  while (performance.now() < endMs) {
    await exchange();
    count += 1;
  }
}

try {
  await Promise.all(Array.from({ length: lanes }, lane));
  console.log(`${count} connections`);
} catch (error) {
  console.error((error as Error).message);
  process.exit(1);
}
