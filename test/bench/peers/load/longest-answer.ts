/**
 * Sends one request after the other on one connection until SIGTERM, then prints the longest time that an answer took, in
 * milliseconds. Prints `probing` once the first was answered; ends with exit code 1 where one is not answered with 2xx.
 *
 *   node load/longest-answer.ts PORT HOST PATH
 */
import { connect } from 'node:net';

const [port = '', host = '', path = '/'] = process.argv.slice(2);
const request = `GET ${path} HTTP/1.1\r\nhost: ${host}\r\n\r\n`;
const socket = connect({ port: Number(port), host: '127.0.0.1', noDelay: true });
let sentMs = 0;
let longestMs = 0;
let answered = 0;

function send(): void {
  sentMs = performance.now();
  socket.write(request);
}

socket.once('connect', send);
socket.on('data', (chunk) => {
  if (!/^HTTP\/1\.1 2/.test(chunk.toString('latin1'))) {
    console.error(`answered ${JSON.stringify(chunk.toString('latin1', 0, 60))}`);
    process.exit(1);
  }
  answered += 1;
  if (answered === 1) console.log('probing');
  else longestMs = Math.max(longestMs, performance.now() - sentMs);
  setTimeout(send, 1);
});
socket.once('error', (error) => {
  console.error(error.message);
  process.exit(1);
});
process.once('SIGTERM', () => {
  console.log(`longest ${Math.max(longestMs, performance.now() - sentMs)} ms`);
  process.exit(0);
});
