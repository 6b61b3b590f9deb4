import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Clock } from '../clock.ts';
import { failed, type KubernetesFailure, printable, statusFailure } from './failure.ts';
import { JsonLines } from './json-lines.ts';
import { asKubernetesObject, isRecord, type KubernetesObject } from './kubernetes-object.ts';

export interface WatchRequest {
  /** '' = all namespaces. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Events after this version. */
  readonly resourceVersion: string;
  /** Seconds after which the server ends the watch. */
  readonly timeoutSeconds: number;
  /** Milliseconds without a byte after which the watch counts as dead and is cut. */
  readonly silenceMs: number;
}

/** A BOOKMARK's object has a resourceVersion and nothing else. */
export type WatchEvent =
  | {
      readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
      readonly object: KubernetesObject;
    }
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string };

export type WatchEnd =
  /** By the server, in order, or because the connection broke: go on from the last version. */
  | { readonly kind: 'ended' }
  /** Cut by us: nothing came for too long. */
  | { readonly kind: 'silent' }
  | { readonly kind: 'failed'; readonly failure: KubernetesFailure };

export interface WatchHandler {
  /** Events that arrived together, at least one. */
  readonly onEvents: (events: readonly WatchEvent[]) => void;
  readonly onEnd: (end: WatchEnd) => void;
}

export interface Watch {
  /** No call of the handler after this. */
  close(): void;
}

/** Bytes of one event: etcd holds objects of 1.5 MiB at most. */
const EVENT_BYTES_MAX = 8 * 1024 * 1024;
const ERROR_BYTES_MAX = 64 * 1024;

type Open = (
  onResponse: (response: IncomingMessage) => void,
  onError: (error: Error) => void,
) => ClientRequest | { readonly problem: string };

/** `what` names it in messages; `open` sends the request; `onUnauthorized` is told of a 401. */
export function openWatch(
  what: string,
  { silenceMs }: WatchRequest,
  handler: WatchHandler,
  clock: Clock,
  open: Open,
  onUnauthorized: () => void,
): Watch {
  const lines = new JsonLines(EVENT_BYTES_MAX);
  let isOver = false;
  let request: ClientRequest | null = null;
  let heardAtMs = clock.nowMs();
  let cancelSilence: () => void = () => undefined;

  const stop = (): void => {
    isOver = true;
    cancelSilence();
    request?.destroy();
  };
  const end = (reason: WatchEnd): void => {
    if (isOver) return;
    stop();
    handler.onEnd(reason);
  };
  const fail = (kind: KubernetesFailure['kind'], message: string): void =>
    end({ kind: 'failed', failure: failed(kind, `${what}: ${message}`).failure });

  // One timer for many bytes: when it fires it looks how long the silence was.
  const listen = (delayMs: number): void => {
    cancelSilence = clock.schedule(delayMs, () => {
      const leftMs = heardAtMs + silenceMs - clock.nowMs();
      if (leftMs <= 0) end({ kind: 'silent' });
      else listen(leftMs);
    });
  };

  const receive = (chunk: Buffer): void => {
    if (isOver) return;
    heardAtMs = clock.nowMs();
    const texts = lines.push(chunk);
    const events: WatchEvent[] = [];
    let reason: WatchEnd | null = null;
    for (const text of texts ?? []) {
      const event = parseEvent(what, text);
      if ('kind' in event) {
        reason = event;
        break;
      }
      events.push(event);
    }
    if (events.length > 0) handler.onEvents(events);
    if (reason !== null) end(reason);
    else if (texts === null) fail('tooLarge', `an event is larger than ${EVENT_BYTES_MAX} bytes`);
  };

  const answered = (response: IncomingMessage): void => {
    if (response.statusCode === 200) {
      request?.socket?.setKeepAlive(true, 30_000);
      heardAtMs = clock.nowMs();
      response.on('data', receive);
      for (const event of ['end', 'error', 'close'] as const) {
        response.on(event, () => end({ kind: 'ended' }));
      }
      return;
    }
    if (response.statusCode === 401) onUnauthorized();
    let text = '';
    const refuse = (): void => {
      let body: unknown;
      try {
        body = JSON.parse(text);
      } catch {
        body = null;
      }
      const code = response.statusCode ?? 0;
      const failure = statusFailure(what, code, body, response.headers['retry-after']);
      end({ kind: 'failed', failure });
    };
    response.on('data', (chunk: Buffer) => {
      if (text.length < ERROR_BYTES_MAX) text += chunk.toString('latin1');
    });
    for (const event of ['end', 'error', 'close'] as const) response.on(event, refuse);
  };

  listen(silenceMs);
  const opened = open(answered, (error) => fail('unreachable', printable(error.message)));
  if ('problem' in opened) {
    const { problem } = opened;
    cancelSilence();
    // Never from within the call that opened it.
    cancelSilence = clock.schedule(0, () => fail('configuration', problem));
  } else {
    request = opened;
  }
  return { close: stop };
}

function parseEvent(
  what: string,
  text: string,
): WatchEvent | Extract<WatchEnd, { kind: 'failed' }> {
  const malformed = (problem: string): Extract<WatchEnd, { kind: 'failed' }> => ({
    kind: 'failed',
    failure: failed('malformed', `${what}: ${problem}`).failure,
  });
  let event: unknown;
  try {
    event = JSON.parse(text);
  } catch (error) {
    return malformed(`an event is no JSON: ${printable((error as Error).message)}`);
  }
  if (!isRecord(event) || !isRecord(event['object'])) return malformed('an event has no object');
  const { type, object: body } = event;
  switch (type) {
    case 'ERROR': {
      const code = (body as Record<string, unknown>)['code'];
      const status = typeof code === 'number' ? code : 500;
      return { kind: 'failed', failure: statusFailure(what, status, body, undefined) };
    }
    case 'BOOKMARK': {
      const { metadata } = body as Record<string, unknown>;
      const version = isRecord(metadata) ? metadata['resourceVersion'] : undefined;
      if (typeof version !== 'string') return malformed('a bookmark has no resourceVersion');
      return { type, resourceVersion: version };
    }
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED': {
      const object = asKubernetesObject(body);
      if (object?.metadata.resourceVersion === undefined) {
        return malformed(`an event of type ${type} has an object without name or resourceVersion`);
      }
      return { type, object };
    }
    default:
      return malformed(`an event has the type ${printable(String(type)).slice(0, 40)}`);
  }
}
