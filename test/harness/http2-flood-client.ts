/**
 * Floods an HTTP/2 server by raw frames, for a while, at a bounded rate, and connects again when it is cut.
 *
 *   node test/harness/http2-flood-client.ts '{"port":8080,"seconds":5,"floods":["ping"],"paths":[{…}]}'
 *
 * Ends with a line of JSON: what each flood did and what it was told (`FloodReport`).
 */

import net from 'node:net';
import { errorCodeName } from '../../proxy/http2/error-code.ts';
import {
  FRAME_HEAD_BYTES,
  FrameHead,
  FrameType,
  readFrameHead,
} from '../../proxy/http2/frame/frame-head.ts';
import { FLOODS, type Flood, type FloodPaths, opening } from './http2-floods.ts';

export interface FloodOrder {
  readonly port: number;
  readonly seconds: number;
  readonly floods: readonly string[];
  /** Connections take turns. */
  readonly paths: readonly FloodPaths[];
}

/** What one flood has done, and what it was answered. */
export interface FloodReport {
  connections: number;
  frames: number;
  bytes: number;
  /** Connections that the server has ended, by the error code of its GOAWAY; `none` where it said nothing. */
  ended: Record<string, number>;
}

/** A connection is given frames so often, */
const TICK_MS = 10;
/** so many goes at a time, */
const GOES_PER_TICK = 100;
/** and no more while so much waits for the server to read it. */
const WAITING_BYTES_MAX = 1024 * 1024;
/** A connection that was cut is replaced no sooner. */
const RECONNECT_MS = 100;

class FloodConnection {
  readonly #order: FloodOrder;
  readonly #flood: Flood;
  readonly #report: FloodReport;
  readonly #timer: NodeJS.Timeout;
  #socket: net.Socket | null = null;
  #paths: FloodPaths;
  #count = 0;
  #code = 'none';
  #rest: Buffer = Buffer.alloc(0);
  #opensAtMs = 0;
  /** What the connection's window leaves. */
  #windowBytes = 0;

  constructor(order: FloodOrder, flood: Flood, report: FloodReport) {
    this.#order = order;
    this.#flood = flood;
    this.#report = report;
    this.#paths = order.paths[0]!;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#socket?.removeAllListeners('close').destroy();
  }

  #connect(): void {
    const socket = net.connect({ port: this.#order.port, host: '127.0.0.1', noDelay: true });
    this.#socket = socket;
    this.#count = 0;
    this.#code = 'none';
    this.#rest = Buffer.alloc(0);
    this.#windowBytes = 65_535;
    this.#paths = this.#order.paths[this.#report.connections++ % this.#order.paths.length]!;
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#socket = null;
      this.#opensAtMs = performance.now() + RECONNECT_MS;
      const { ended } = this.#report;
      ended[this.#code] = (ended[this.#code] ?? 0) + 1;
    });
    if (this.#flood.deaf !== true) socket.on('data', (bytes) => this.#read(bytes as Buffer));
    socket.write(opening(this.#flood));
  }

  #tick(): void {
    if (this.#socket === null) {
      if (performance.now() >= this.#opensAtMs) this.#connect();
      return;
    }
    const socket = this.#socket;
    const parts: Buffer[] = [];
    let bytes = socket.writableLength;
    const { dataBytes = 0, goesPerTick = GOES_PER_TICK } = this.#flood;
    for (let go = 0; go < goesPerTick && bytes < WAITING_BYTES_MAX; go++) {
      if (dataBytes > this.#windowBytes) break;
      this.#windowBytes -= dataBytes;
      const frames = this.#flood.frames(this.#count, this.#paths);
      if (frames.length === 0) break;
      this.#count++;
      bytes += frames.length;
      parts.push(frames);
    }
    if (parts.length === 0) return;
    const joined = Buffer.concat(parts);
    this.#report.frames += parts.length;
    this.#report.bytes += joined.length;
    socket.write(joined);
  }

  /** Looks for GOAWAY and for the connection's window. */
  #read(bytes: Buffer): void {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    const head = new FrameHead();
    let at = 0;
    while (all.length - at >= FRAME_HEAD_BYTES) {
      readFrameHead(all, at, head);
      if (all.length - at < FRAME_HEAD_BYTES + head.length) break;
      if (head.type === FrameType.Goaway) {
        this.#code = errorCodeName(all.readUInt32BE(at + FRAME_HEAD_BYTES + 4));
      }
      if (head.type === FrameType.WindowUpdate && head.streamId === 0) {
        this.#windowBytes += all.readUInt32BE(at + FRAME_HEAD_BYTES);
      }
      at += FRAME_HEAD_BYTES + head.length;
    }
    this.#rest = all.subarray(at);
  }
}

const order = JSON.parse(process.argv[2] ?? '{}') as FloodOrder;
const reports: Record<string, FloodReport> = {};
const connections: FloodConnection[] = [];
for (const name of order.floods) {
  const flood = FLOODS.find((flood) => flood.name === name);
  if (flood === undefined) throw new Error(`no flood is called ${name}`);
  const report: FloodReport = { connections: 0, frames: 0, bytes: 0, ended: {} };
  reports[name] = report;
  for (let count = 0; count < (flood.connections ?? 1); count++) {
    connections.push(new FloodConnection(order, flood, report));
  }
}
setTimeout(() => {
  for (const connection of connections) connection.stop();
  process.stdout.write(`${JSON.stringify(reports)}\n`);
}, order.seconds * 1000);
