import type { HeaderValueOption } from '../../../proto/gen/envoy/config/core/v3/base.ts';
import { isFieldName, isFieldValue } from '../../http/field-name.ts';
import type { HeaderAddition, HeaderMutations } from '../../router/route-config.ts';
import type { MessageReader } from './message-reader.ts';
import { checkFormat } from './substitution-format.ts';

/** Mutations that do nothing; shared, so that the request path can tell them by identity. */
export const NO_MUTATIONS: HeaderMutations = Object.freeze({
  remove: Object.freeze([]),
  add: Object.freeze([]),
});

interface RequestMutations {
  requestHeadersToAdd: HeaderValueOption[];
  requestHeadersToRemove: string[];
}

interface ResponseMutations {
  responseHeadersToAdd: HeaderValueOption[];
  responseHeadersToRemove: string[];
}

/** `request_headers_to_add` and `request_headers_to_remove` of a route, virtual host or weighted cluster (TM-13). */
export function compileRequestHeaders<T extends RequestMutations>(
  reader: MessageReader<T>,
): HeaderMutations {
  const of = reader as unknown as MessageReader<RequestMutations>;
  return mutations(
    of.children('requestHeadersToAdd'),
    removals(of, 'requestHeadersToRemove', of.take('requestHeadersToRemove')),
  );
}

/** `response_headers_to_add` and `response_headers_to_remove`. */
export function compileResponseHeaders<T extends ResponseMutations>(
  reader: MessageReader<T>,
): HeaderMutations {
  const of = reader as unknown as MessageReader<ResponseMutations>;
  return mutations(
    of.children('responseHeadersToAdd'),
    removals(of, 'responseHeadersToRemove', of.take('responseHeadersToRemove')),
  );
}

function mutations(
  add: readonly MessageReader<HeaderValueOption>[],
  remove: readonly string[],
): HeaderMutations {
  if (add.length === 0 && remove.length === 0) return NO_MUTATIONS;
  return { remove, add: add.map(compileAddition) };
}

/** Names that no mutation may remove: routing and framing stand on them. */
function removals<T extends object>(
  reader: MessageReader<T>,
  key: keyof T & string,
  names: readonly string[],
): string[] {
  return names.map((written, index) => {
    const name = written.toLowerCase();
    const path = reader.at(key, index);
    if (name.startsWith(':') || name === 'host') {
      reader.problems.add(path, `"${written}" cannot be removed`);
    } else if (!isFieldName(name)) {
      reader.problems.add(path, `"${written}" is not a header name`);
    }
    return name;
  });
}

const ACTIONS = ['append', 'addIfAbsent', 'overwrite', 'overwriteIfExists'] as const;

function compileAddition(reader: MessageReader<HeaderValueOption>): HeaderAddition {
  const keepEmpty = reader.bool('keepEmptyValue');
  const action = reader.choice(
    'appendAction',
    [
      [0, 'APPEND_IF_EXISTS_OR_ADD', ACTIONS[0]],
      [1, 'ADD_IF_ABSENT', ACTIONS[1]],
      [2, 'OVERWRITE_IF_EXISTS_OR_ADD', ACTIONS[2]],
      [3, 'OVERWRITE_IF_EXISTS', ACTIONS[3]],
    ],
    'append',
  );
  const deprecatedAppend = reader.take('append'); // where set it decides, as in Envoy
  const header = reader.child('header');
  if (header === undefined) {
    reader.problem('header', 'must be set');
    return { name: '', value: '', format: false, action, keepEmpty };
  }
  const name = header.required('key').toLowerCase();
  if (name.startsWith(':') || name === 'host') {
    header.problem(
      'key',
      `"${name}" cannot be set here; rewrite the host or the path of the route`,
    );
  } else if (name !== '' && !isFieldName(name)) {
    header.problem('key', `"${name}" is not a header name`);
  }
  const raw = header.take('rawValue');
  const value = raw.length > 0 ? Buffer.from(raw).toString('latin1') : header.string('value');
  const format = value.includes('%');
  if (!isFieldValue(value)) {
    header.problem('value', 'holds a character that no header value may hold');
  } else if (format) {
    const problem = checkFormat(value);
    if (problem !== '') header.problem('value', problem);
  }
  return {
    name,
    value,
    format,
    action: deprecatedAppend === undefined ? action : deprecatedAppend ? 'append' : 'overwrite',
    keepEmpty,
  };
}
