import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';

export interface WebSocketApp {
  readonly port: number;
  /** `code reason` of each connection that has ended, in order. */
  readonly closes: readonly string[];
  /** Of each upgrade request. */
  readonly requests: readonly { readonly url: string; readonly httpVersion: string }[];
  close(): Promise<void>;
}

/**
 * A WebSocket server of `ws` on a free loopback port, with permessage-deflate where the client offers it and the
 * subprotocol `chat`. It echoes; `/push` begins with 100 messages before it is told anything; `/close` ends with code
 * 4001 when it is told anything; `/cut` ends its TCP connection then.
 */
export async function webSocketApp(): Promise<WebSocketApp> {
  const closes: string[] = [];
  const requests: { url: string; httpVersion: string }[] = [];
  const sockets = new Set<Socket>();
  const http = createServer((_request, response) => response.writeHead(426).end());
  http.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  const server = new WebSocketServer({
    server: http,
    perMessageDeflate: { threshold: 0 },
    handleProtocols: (offered) => (offered.has('chat') ? 'chat' : false),
  });
  server.on('connection', (webSocket: WebSocket, request) => {
    const { url = '', httpVersion } = request;
    requests.push({ url, httpVersion });
    webSocket.on('error', () => {});
    webSocket.on('close', (code, reason) => closes.push(`${code} ${reason}`.trim()));
    if (url === '/push') {
      for (let count = 0; count < 100; count++) webSocket.send(`pushed ${count}`);
    }
    webSocket.on('message', (message, isBinary) => {
      if (url === '/close') webSocket.close(4001, 'so be it');
      else if (url === '/cut') request.socket.destroy();
      else webSocket.send(message, { binary: isBinary });
    });
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  return {
    port: (http.address() as AddressInfo).port,
    closes,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close();
        http.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
