import { STATUS_CODES } from 'node:http';
import { nearest } from '../../proto/nearest.ts';
import { printable } from './problem.ts';
import type { TextFormat } from './schema.ts';

/** Conditions of RS-02 that the sidecar knows; bare numbers are status codes. */
const CONDITIONS = new Set([
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'retriable-4xx',
  'refused-stream',
  'retriable-status-codes',
  'retriable-headers',
  'envoy-ratelimited',
  'http3-post-connect-failure',
  'cancelled',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'unavailable',
]);

/** `connect-failure,refused-stream,503`. */
export const RETRY_ON: TextFormat = {
  name: 'retry-on',
  check: (value) => {
    for (const token of value.split(',').map((part) => part.trim())) {
      if (CONDITIONS.has(token) || STATUS_CODES[token] !== undefined) continue;
      const suggestion = nearest(token, CONDITIONS);
      return suggestion === undefined
        ? `names "${printable(token)}", which is not one of ${[...CONDITIONS].join(', ')} or a status code`
        : `names "${printable(token)}" (did you mean ${suggestion}?)`;
    }
    return undefined;
  },
};
