import type { Kind } from '../kinds/kind.ts';
import type { Problem } from '../kinds/problem.ts';
import type { JsonReply } from './api-routes.ts';

/** Kubernetes' reasons, by HTTP status. */
const REASONS = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  AlreadyExists: 409,
  Conflict: 409,
  Expired: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  Invalid: 422,
  TooManyRequests: 429,
  InternalError: 500,
  ServiceUnavailable: 503,
  InsufficientStorage: 507,
} as const;

export type StatusReason = keyof typeof REASONS;

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
}

export interface StatusCause {
  readonly reason: string;
  readonly message: string;
  readonly field: string;
}

/** An error as Kubernetes' `Status` object. */
export function failure(reason: StatusReason, message: string, details?: StatusDetails): JsonReply {
  return { kind: 'json', status: REASONS[reason], body: failureStatus(reason, message, details) };
}

export function failureStatus(
  reason: StatusReason,
  message: string,
  details?: StatusDetails,
): object {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason,
    ...(details === undefined ? {} : { details }),
    code: REASONS[reason],
  };
}

export function success(kind: Kind, name: string, uid: string): JsonReply {
  const body = {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: { name, group: kind.group, kind: kind.plural, uid },
  };
  return { kind: 'json', status: 200, body };
}

export function notFound(kind: Kind, name: string): JsonReply {
  const message = `${kind.plural}.${kind.group} "${name}" not found`;
  return failure('NotFound', message, { name, group: kind.group, kind: kind.plural });
}

/** 400 for what is no object of this kind at all, 422 for an object with wrong fields; every problem is a cause. */
export function refused(
  kind: Pick<Kind, 'kind' | 'group'>,
  name: string,
  problems: readonly Problem[],
): JsonReply {
  const causes = problems.map((problem) => ({
    reason: CAUSES[problem.code],
    message:
      problem.suggestion === undefined
        ? problem.message
        : `${problem.message} (did you mean ${problem.suggestion}?)`,
    field: problem.path,
    // Where in the body: for clients that sent the text that a person wrote.
    ...(problem.line > 0 ? { line: problem.line, column: problem.column } : {}),
  }));
  const told = causes.map(({ field, message }) =>
    field === '' ? message : `${field}: ${message}`,
  );
  const list = told.length === 1 ? told[0] : `[${told.join(', ')}]`;
  const details = { name, group: kind.group, kind: kind.kind, causes };
  if (problems.some(({ code }) => code === 'syntax' || code === 'unsupportedKind')) {
    return failure('BadRequest', `the object in the body cannot be read: ${list}`, details);
  }
  const message = `${kind.kind}.${kind.group} "${name}" is invalid: ${list}`;
  return failure('Invalid', message, details);
}

const CAUSES: Readonly<Record<Problem['code'], string>> = {
  syntax: 'FieldValueInvalid',
  unsupportedKind: 'FieldValueNotSupported',
  unknownField: 'FieldValueForbidden',
  unsupportedField: 'FieldValueNotSupported',
  unsupportedValue: 'FieldValueNotSupported',
  required: 'FieldValueRequired',
  invalid: 'FieldValueInvalid',
  tooLarge: 'FieldValueTooLong',
};
