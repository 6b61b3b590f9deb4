import { PUSH_REFUSED, type Violation } from '../violation.ts';

/**
 * PUSH_PROMISE (RFC 9113 §6.6): never sent, and never allowed to be received. A client says
 * SETTINGS_ENABLE_PUSH 0 in its preface, and a client may not push (§8.4).
 *
 *   +---------------+
 *   |Pad Length? (8)|
 *   +-+-------------+-----------------------------------------------+
 *   |R|                Promised Stream ID (31)                      |
 *   +-+-----------------------------+-------------------------------+
 *   |                  Field Block Fragment (*)                   ...
 *   +---------------------------------------------------------------+
 *   |                          Padding (*)                        ...
 *   +---------------------------------------------------------------+
 */
export function judgePushPromise(): Violation {
  return PUSH_REFUSED;
}
