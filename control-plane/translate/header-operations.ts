import type { DeepPartial } from '../../proto/gen/envoy/config/core/v3/base.ts';
import {
  type HeaderValueOption,
  HeaderValueOption_HeaderAppendAction,
} from '../../proto/gen/envoy/config/core/v3/base.ts';
import type { HeaderOperations, Headers } from '../kinds/virtual-service.ts';

/** The header fields that Route and ClusterWeight have in common (TM-13). */
export interface HeaderMutations {
  readonly requestHeadersToAdd: DeepPartial<HeaderValueOption>[];
  readonly requestHeadersToRemove: string[];
  readonly responseHeadersToAdd: DeepPartial<HeaderValueOption>[];
  readonly responseHeadersToRemove: string[];
}

export function headerMutations(headers: Headers | undefined): HeaderMutations {
  return {
    requestHeadersToAdd: additions(headers?.request),
    requestHeadersToRemove: [...(headers?.request?.remove ?? [])],
    responseHeadersToAdd: additions(headers?.response),
    responseHeadersToRemove: [...(headers?.response?.remove ?? [])],
  };
}

/** `headers.request.set.host` (or `add`): a header no proxy may set, but a way to rewrite the authority. '' = not asked. */
export function authorityOf(headers: Headers | undefined): string {
  const { set = {}, add = {} } = headers?.request ?? {};
  for (const [name, value] of [...Object.entries(set), ...Object.entries(add)]) {
    if (isAuthority(name)) return value;
  }
  return '';
}

function additions(operations: HeaderOperations | undefined): DeepPartial<HeaderValueOption>[] {
  if (operations === undefined) return [];
  const { OVERWRITE_IF_EXISTS_OR_ADD, APPEND_IF_EXISTS_OR_ADD } =
    HeaderValueOption_HeaderAppendAction;
  return [
    ...options(operations.set, OVERWRITE_IF_EXISTS_OR_ADD),
    ...options(operations.add, APPEND_IF_EXISTS_OR_ADD),
  ];
}

function options(
  headers: HeaderOperations['set'],
  appendAction: HeaderValueOption_HeaderAppendAction,
): DeepPartial<HeaderValueOption>[] {
  return Object.entries(headers)
    .filter(([name]) => !isAuthority(name))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => ({
      header: { key, value },
      appendAction,
      keepEmptyValue: value === '',
    }));
}

function isAuthority(name: string): boolean {
  const lower = name.toLowerCase();
  return lower === 'host' || lower === ':authority';
}
