/** A refusal of the API server, as it answers it: HTTP status and a `Status` object. */
export class ApiError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly details: object;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: number,
    reason: string,
    message: string,
    details: object = {},
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.details = details;
    this.headers = headers;
  }

  get status(): Record<string, unknown> {
    const { code, reason, message, details } = this;
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message,
      reason,
      details,
      code,
    };
  }
}

export function badRequest(message: string): ApiError {
  return new ApiError(400, 'BadRequest', message);
}

export function notFound(group: string, plural: string, name: string): ApiError {
  const what = group === '' ? plural : `${plural}.${group}`;
  return new ApiError(404, 'NotFound', `${what} "${name}" not found`, {
    name,
    kind: plural,
    ...(group !== '' && { group }),
  });
}

export function conflict(group: string, plural: string, name: string): ApiError {
  const what = group === '' ? plural : `${plural}.${group}`;
  return new ApiError(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${what} "${name}": the object has been modified; please apply your changes to the latest version and try again`,
    { name, kind: plural, ...(group !== '' && { group }) },
  );
}

export function expired(version: string, oldest: number): ApiError {
  return new ApiError(410, 'Expired', `too old resource version: ${version} (${oldest})`);
}

/** 422: `field: message`. */
export function invalid(kind: string, name: string, field: string, message: string): ApiError {
  return new ApiError(422, 'Invalid', `${kind} "${name}" is invalid: ${field}: ${message}`, {
    name,
    kind,
    causes: [{ reason: 'FieldValueInvalid', message, field }],
  });
}
