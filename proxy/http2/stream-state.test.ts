import { describe, expect, test } from 'vitest';
import { ILLEGAL, nextState, StreamEvent, StreamState } from './stream-state.ts';

/** RFC 9113 §5.1, every state and event; what is not listed may not happen. */
const LEGAL: Readonly<Record<string, string>> = {
  'Idle RecvHeaders': 'Open',
  'Idle SendHeaders': 'Open',
  'Open RecvHeaders': 'Open',
  'Open RecvData': 'Open',
  'Open RecvEndStream': 'HalfClosedRemote',
  'Open SendHeaders': 'Open',
  'Open SendData': 'Open',
  'Open SendEndStream': 'HalfClosedLocal',
  'Open Reset': 'Closed',
  'HalfClosedLocal RecvHeaders': 'HalfClosedLocal',
  'HalfClosedLocal RecvData': 'HalfClosedLocal',
  'HalfClosedLocal RecvEndStream': 'Closed',
  'HalfClosedLocal Reset': 'Closed',
  'HalfClosedRemote SendHeaders': 'HalfClosedRemote',
  'HalfClosedRemote SendData': 'HalfClosedRemote',
  'HalfClosedRemote SendEndStream': 'Closed',
  'HalfClosedRemote Reset': 'Closed',
};

describe('stream states', () => {
  for (const [state, from] of Object.entries(StreamState)) {
    for (const [event, what] of Object.entries(StreamEvent)) {
      const to = LEGAL[`${state} ${event}`];
      test(`${state}: ${event} ${to === undefined ? 'is a violation' : `→ ${to}`}`, () => {
        const next = to === undefined ? ILLEGAL : StreamState[to as keyof typeof StreamState];
        expect(nextState(from, what)).toBe(next);
      });
    }
  }
});
