import { printable } from '../kinds/problem.ts';
import { type Fields, isFields } from '../kinds/schema.ts';
import { readSource } from '../kinds/source-text.ts';

/** `admission.k8s.io/v1 AdmissionRequest`, as far as a webhook of ours asks; objects have no prototypes. */
export interface AdmissionRequest {
  readonly uid: string;
  /** What the object is. `requestKind` is the older or newer version that the client used; we read what came. */
  readonly kind: GroupVersionKind;
  /** Plural, as in the URL: `pods`. */
  readonly resource: string;
  /** `status`, `exec`, … or ''. */
  readonly subResource: string;
  /** '' where the resource is not namespaced, or the caller named none. */
  readonly namespace: string;
  /** '' where the server has yet to make a name from `generateName`. */
  readonly name: string;
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';
  /** Null for DELETE, and for CONNECT the options. */
  readonly object: unknown;
  readonly oldObject: unknown;
  readonly dryRun: boolean;
}

export interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

/** What a webhook decided. `warnings` are shown by kubectl. */
export type AdmissionAnswer =
  | {
      readonly kind: 'allowed';
      /** RFC 6902; empty = the object stays as it is. */
      readonly patch: readonly object[];
      readonly warnings: readonly string[];
      /** Goes to the audit log under the webhook's name. */
      readonly audit: Readonly<Record<string, string>>;
    }
  /** `status`: a Kubernetes `Status` with code 400 or above; kubectl prints its message and causes. */
  | { readonly kind: 'refused'; readonly status: object; readonly warnings: readonly string[] };

/** Kubernetes cuts a warning at 256 characters, and all of a response at 4096. */
const WARNING_CHARS_MAX = 256;
const WARNINGS_MAX = 16;

export type ReadReview =
  | { readonly kind: 'request'; readonly request: AdmissionRequest }
  | { readonly kind: 'bad'; readonly problem: string };

/**
 * Reads `AdmissionReview` v1. What Kubernetes adds in later versions is passed over; what is used here must have the
 * right type. v1beta1 is refused with what to do: API servers since 1.22 send v1 only, and since 1.16 send it when the
 * webhook's configuration lists it.
 */
export function readAdmissionReview(text: string): ReadReview {
  const source = readSource(text, 0);
  const [document] = source.documents;
  const [problem] = [...source.problems, ...(document?.problems ?? [])];
  if (problem !== undefined) {
    const { line, column } = source.position(problem.offset);
    return bad(`the body ${problem.message} (line ${line}, column ${column})`);
  }
  if (document === undefined) return bad('the body is empty; send an AdmissionReview as JSON');
  const review = document.value;
  if (!isFields(review)) return bad('the body is not an AdmissionReview object');
  const { apiVersion, kind, request } = review;
  if (kind !== 'AdmissionReview' || typeof apiVersion !== 'string') {
    const what = typeof kind === 'string' ? `a ${printable(kind)}` : 'an object without kind';
    return bad(`the body is ${what}; this port takes admission.k8s.io/v1 AdmissionReview alone`);
  }
  if (apiVersion !== 'admission.k8s.io/v1') {
    return bad(
      `AdmissionReview ${printable(apiVersion)} is not supported; set admissionReviewVersions: ["v1"] in the webhook configuration`,
    );
  }
  if (!isFields(request)) return bad('the AdmissionReview has no request');
  return readRequest(request);
}

/** The answer as the body that the API server expects; `uid` is that of the request. */
export function admissionResponse(uid: string, answer: AdmissionAnswer): object {
  const warnings = answer.warnings
    .slice(0, WARNINGS_MAX)
    .map((warning) => printable(warning, WARNING_CHARS_MAX - 1));
  const response =
    answer.kind === 'refused'
      ? { uid, allowed: false, status: answer.status }
      : { uid, allowed: true, ...patchFields(answer.patch), ...auditFields(answer.audit) };
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: warnings.length === 0 ? response : { ...response, warnings },
  };
}

export function allowed(
  audit: Readonly<Record<string, string>> = {},
  warnings: readonly string[] = [],
): AdmissionAnswer {
  return { kind: 'allowed', patch: [], warnings, audit };
}

/** `networking.istio.io/v1 VirtualService`, for messages. */
export function describeKind({ group, version, kind }: GroupVersionKind): string {
  return printable(`${group === '' ? '' : `${group}/`}${version} ${kind}`, 160);
}

function patchFields(patch: readonly object[]): object {
  if (patch.length === 0) return {};
  const encoded = Buffer.from(JSON.stringify(patch)).toString('base64');
  return { patchType: 'JSONPatch', patch: encoded };
}

function auditFields(auditAnnotations: Readonly<Record<string, string>>): object {
  return Object.keys(auditAnnotations).length === 0 ? {} : { auditAnnotations };
}

/** Characters of a uid, a namespace, a name: Kubernetes' own are at most 253. */
const NAME_CHARS_MAX = 253;
const OPERATIONS = new Set(['CREATE', 'UPDATE', 'DELETE', 'CONNECT']);

function readRequest(fields: Fields): ReadReview {
  const problems: string[] = [];
  const text = (from: Fields, name: string, path: string, needed: boolean): string => {
    const value = from[name] ?? '';
    if (typeof value !== 'string') problems.push(`${path} must be a string`);
    else if (value.length > NAME_CHARS_MAX) problems.push(`${path} is too long`);
    else if (value === '' && needed) problems.push(`${path} is required`);
    else return value;
    return '';
  };
  const part = (name: string): Fields => {
    const value = fields[name];
    if (isFields(value)) return value;
    problems.push(`request.${name} is required`);
    return {};
  };
  const uid = text(fields, 'uid', 'request.uid', true);
  const kind = part('kind');
  const resource = part('resource');
  const operation = text(fields, 'operation', 'request.operation', true);
  if (operation !== '' && !OPERATIONS.has(operation)) {
    problems.push(`request.operation ${printable(operation)} is not known`);
  }
  const dryRun = fields['dryRun'] ?? false;
  if (typeof dryRun !== 'boolean') problems.push('request.dryRun must be true or false');
  const request = {
    uid,
    kind: {
      group: text(kind, 'group', 'request.kind.group', false),
      version: text(kind, 'version', 'request.kind.version', true),
      kind: text(kind, 'kind', 'request.kind.kind', true),
    },
    resource: text(resource, 'resource', 'request.resource.resource', true),
    subResource: text(fields, 'subResource', 'request.subResource', false),
    namespace: text(fields, 'namespace', 'request.namespace', false),
    name: text(fields, 'name', 'request.name', false),
    operation: operation as AdmissionRequest['operation'],
    object: fields['object'] ?? null,
    oldObject: fields['oldObject'] ?? null,
    dryRun: dryRun === true,
  };
  if (problems.length > 0) {
    return bad(`the AdmissionReview is not valid: ${problems.slice(0, 5).join(', ')}`);
  }
  return { kind: 'request', request };
}

function bad(problem: string): ReadReview {
  return { kind: 'bad', problem };
}
