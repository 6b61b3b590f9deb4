/**
 * HTTP/2 stream states without server push (RFC 9113 §5.1), the same for both roles.
 *
 *                        recvHeaders / sendHeaders
 *                 idle ─────────────────────────────▶ open
 *                          recvEndStream ┌─────────────┴─────────────┐ sendEndStream
 *                                        ▼                           ▼
 *                             half-closed (remote)          half-closed (local)
 *                                        │ sendEndStream             │ recvEndStream
 *                                        └──────────▶ closed ◀───────┘      reset: from anywhere
 */
export const StreamState = {
  Idle: 0,
  Open: 1,
  HalfClosedLocal: 2,
  HalfClosedRemote: 3,
  Closed: 4,
} as const;
export type StreamState = (typeof StreamState)[keyof typeof StreamState];

export const StreamEvent = {
  RecvHeaders: 0,
  RecvData: 1,
  RecvEndStream: 2,
  SendHeaders: 3,
  SendData: 4,
  SendEndStream: 5,
  /** RST_STREAM either way, or the end of the connection. */
  Reset: 6,
} as const;
export type StreamEvent = (typeof StreamEvent)[keyof typeof StreamEvent];

/** What `nextState` answers where the event may not happen. */
export const ILLEGAL = 255;

type StateName = keyof typeof StreamState;
type EventName = keyof typeof StreamEvent;

/** An absent entry is a violation: of the peer for `Recv…`, of our own code for `Send…`. */
const NEXT: Readonly<Record<StateName, Readonly<Partial<Record<EventName, StateName>>>>> = {
  Idle: { RecvHeaders: 'Open', SendHeaders: 'Open' },
  Open: {
    RecvHeaders: 'Open',
    RecvData: 'Open',
    RecvEndStream: 'HalfClosedRemote',
    SendHeaders: 'Open',
    SendData: 'Open',
    SendEndStream: 'HalfClosedLocal',
    Reset: 'Closed',
  },
  HalfClosedLocal: {
    RecvHeaders: 'HalfClosedLocal',
    RecvData: 'HalfClosedLocal',
    RecvEndStream: 'Closed',
    Reset: 'Closed',
  },
  HalfClosedRemote: {
    SendHeaders: 'HalfClosedRemote',
    SendData: 'HalfClosedRemote',
    SendEndStream: 'Closed',
    Reset: 'Closed',
  },
  Closed: {},
};

const EVENTS = Object.keys(StreamEvent).length;

const TABLE: Uint8Array = (() => {
  const table = new Uint8Array(Object.keys(StreamState).length * EVENTS).fill(ILLEGAL);
  for (const [state, row] of Object.entries(NEXT)) {
    for (const [event, next] of Object.entries(row)) {
      table[StreamState[state as StateName] * EVENTS + StreamEvent[event as EventName]] =
        StreamState[next];
    }
  }
  return table;
})();

/** The state after `event`, or `ILLEGAL`. */
export function nextState(state: StreamState, event: StreamEvent): StreamState | typeof ILLEGAL {
  return TABLE[state * EVENTS + event]! as StreamState | typeof ILLEGAL;
}

/** The peer's half has ended, or all of it. */
export function remoteEnded(state: StreamState): boolean {
  return state === StreamState.HalfClosedRemote || state === StreamState.Closed;
}
