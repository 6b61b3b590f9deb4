import { isDeepStrictEqual } from 'node:util';
import type { ObjectMeta } from '../kinds/resource.ts';
import { isRecord } from '../kubernetes/kubernetes-object.ts';

/** One thing to tell the author of a policy. */
export interface PolicyMessage {
  /** Istio's analysis code, or one of ours (CL-01). */
  readonly code: string;
  readonly level: 'ERROR' | 'WARNING';
  readonly message: string;
}

/** What the mesh made of one policy. */
export interface PolicyVerdict {
  /** It is in force. False: it is not valid, and left out (A6.9). */
  readonly accepted: boolean;
  readonly messages: readonly PolicyMessage[];
}

/** Messages of one object: more say nothing new, and an object has its limits. */
const MESSAGES_MAX = 32;
const MESSAGE_CHARS_MAX = 1024;

/**
 * The status of a policy in the shape of Istio's `IstioStatus` (PL-06): condition `PassedAnalysis` and
 * `validationMessages` as its analyzers write them, and condition `Accepted` (Gateway API's word) for whether the mesh
 * uses it. What others wrote in it stays. `current`: the status that is there, foreign data; null where it says all
 * this already. Istio's `Reconciled`, which counts proxies, is not written: each replica knows only its own.
 */
export function nextStatus(
  current: unknown,
  { generation }: ObjectMeta,
  { accepted, messages }: PolicyVerdict,
  nowMs: number,
): Readonly<Record<string, unknown>> | null {
  const status = isRecord(current) ? current : {};
  const before = Array.isArray(status['conditions']) ? status['conditions'].filter(isRecord) : [];
  const told = messages.slice(0, MESSAGES_MAX);
  const errors = messages.filter(({ level }) => level === 'ERROR').length;
  const wanted = [
    {
      type: 'Accepted',
      status: accepted ? 'True' : 'False',
      reason: accepted ? 'Accepted' : 'Invalid',
      message: accepted ? 'in force' : cut(messages[0]?.message ?? 'not valid'),
    },
    {
      type: 'PassedAnalysis',
      status: messages.length === 0 ? 'True' : 'False',
      reason: messages.length === 0 ? 'noErrorsFound' : 'errorsFound',
      message: found(errors, messages.length - errors),
    },
  ];
  const conditions = before.filter(({ type }) => !wanted.some((own) => own.type === type));
  for (const own of wanted) {
    const old = before.find(({ type }) => type === own.type);
    const since = old?.['lastTransitionTime'];
    const isOld = old?.['status'] === own.status && typeof since === 'string';
    conditions.push({
      ...own,
      lastTransitionTime: isOld ? since : new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z'),
      observedGeneration: generation,
    });
  }
  const validationMessages = told.map(({ code, level, message }) => ({
    type: { code },
    level,
    message: cut(message),
    ...(code.startsWith('IST') && {
      documentationUrl: `https://istio.io/latest/docs/reference/config/analysis/${code.toLowerCase()}/`,
    }),
  }));
  const next = { conditions, validationMessages, observedGeneration: generation };
  const same =
    isDeepStrictEqual(plain(next.conditions), plain(sortedLike(before, next.conditions))) &&
    isDeepStrictEqual(plain(validationMessages), plain(status['validationMessages'] ?? [])) &&
    status['observedGeneration'] === generation;
  return same ? null : next;
}

/** The conditions that are there, in our order: another writer may have listed them otherwise. */
function sortedLike(
  before: readonly Record<string, unknown>[],
  order: readonly Record<string, unknown>[],
): Record<string, unknown>[] {
  const place = (type: unknown) => order.findIndex((condition) => condition['type'] === type);
  return [...before].sort((a, b) => place(a['type']) - place(b['type']));
}

/** Prototypes aside: the store's objects have none. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

function found(errors: number, warnings: number): string {
  if (errors + warnings === 0) return 'No errors or warnings found';
  const parts = [
    errors > 0 ? `${errors} Error${errors > 1 ? 's' : ''}` : '',
    warnings > 0 ? `${warnings} Warning${warnings > 1 ? 's' : ''}` : '',
  ].filter((part) => part !== '');
  return `${parts.join(' and ')} found. See validationMessages field for details`;
}

function cut(text: string): string {
  return text.length > MESSAGE_CHARS_MAX ? `${text.slice(0, MESSAGE_CHARS_MAX - 1)}…` : text;
}
