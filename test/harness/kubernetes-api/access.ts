import { type Fields, isFields, list, object, text, texts } from './fields.ts';
import type { ObjectStore } from './object-store.ts';
import { BUILT_IN_KINDS, type ServedKind } from './served-kind.ts';

export interface User {
  readonly username: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** A rule of a Role or ClusterRole, as in its YAML. */
export interface PolicyRule {
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
  readonly verbs: readonly string[];
}

/** What a request wants, as authorization sees it. */
export interface AccessRequest {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  /** '' = all namespaces, or the kind has none. */
  readonly namespace: string;
  readonly name: string;
}

export const ADMIN: User = {
  username: 'kubernetes-admin',
  uid: '',
  groups: ['system:masters', 'system:authenticated'],
};

export function serviceAccountUser(namespace: string, name: string, uid = ''): User {
  return {
    username: `system:serviceaccount:${namespace}:${name}`,
    uid,
    groups: [
      'system:serviceaccounts',
      `system:serviceaccounts:${namespace}`,
      'system:authenticated',
    ],
  };
}

/** What every authenticated user may do: `system:basic-user`. */
const BASIC: PolicyRule = {
  apiGroups: ['authorization.k8s.io', 'authentication.k8s.io'],
  resources: ['selfsubjectaccessreviews', 'selfsubjectrulesreviews', 'selfsubjectreviews'],
  verbs: ['create'],
};

/**
 * RBAC. `rulesOf` gives the rules that a test granted a user directly (undefined = none were); else Role and ClusterRole
 * objects count as their bindings say.
 */
export class Access {
  readonly #store: ObjectStore;
  readonly #rulesOf: (user: User) => readonly PolicyRule[] | undefined;

  constructor(store: ObjectStore, rulesOf: (user: User) => readonly PolicyRule[] | undefined) {
    this.#store = store;
    this.#rulesOf = rulesOf;
  }

  allows(user: User, request: AccessRequest): boolean {
    if (user.groups.includes('system:masters')) return true;
    if (ruleAllows(BASIC, request)) return true;
    const granted = this.#rulesOf(user) ?? [];
    if (granted.some((rule) => ruleAllows(rule, request))) return true;
    return this.#boundRules(user, request.namespace).some((rule) => ruleAllows(rule, request));
  }

  #boundRules(user: User, namespace: string): PolicyRule[] {
    const rules = this.#bindings('clusterrolebindings', '', user).flatMap((role) =>
      this.#roleRules(role, ''),
    );
    if (namespace === '') return rules;
    return [
      ...rules,
      ...this.#bindings('rolebindings', namespace, user).flatMap((role) =>
        this.#roleRules(role, namespace),
      ),
    ];
  }

  /** The `roleRef` of each binding that names the user. */
  #bindings(plural: string, namespace: string, user: User): Fields[] {
    return this.#store
      .list(kindOf(plural), namespace)
      .filter((binding) =>
        list(binding as unknown as Fields, 'subjects').some(
          (subject) => isFields(subject) && isSubject(subject, namespace, user),
        ),
      )
      .map((binding) => object(binding as unknown as Fields, 'roleRef'));
  }

  #roleRules(roleRef: Fields, namespace: string): PolicyRule[] {
    const isClusterRole = text(roleRef, 'kind') === 'ClusterRole';
    const role = this.#store.get(
      kindOf(isClusterRole ? 'clusterroles' : 'roles'),
      isClusterRole ? '' : namespace,
      text(roleRef, 'name'),
    );
    return role === undefined ? [] : (list(role as unknown as Fields, 'rules') as PolicyRule[]);
  }
}

function isSubject(subject: Fields, namespace: string, user: User): boolean {
  const name = text(subject, 'name');
  switch (text(subject, 'kind')) {
    case 'User':
      return name === user.username;
    case 'Group':
      return user.groups.includes(name);
    case 'ServiceAccount':
      return (
        user.username === `system:serviceaccount:${text(subject, 'namespace') || namespace}:${name}`
      );
    default:
      return false;
  }
}

function ruleAllows(rule: PolicyRule, request: AccessRequest): boolean {
  const has = (values: readonly string[] | undefined, value: string): boolean =>
    values !== undefined && (values.includes('*') || values.includes(value));
  const { subresource, resource, name } = request;
  const wanted = subresource === '' ? resource : `${resource}/${subresource}`;
  const named = rule.resourceNames ?? [];
  return (
    has(rule.verbs, request.verb) &&
    has(rule.apiGroups, request.group) &&
    (has(rule.resources, wanted) ||
      (subresource !== '' && rule.resources?.includes(`*/${subresource}`) === true)) &&
    // A name that is not known before the object is there (create, list) is never allowed by name.
    (named.length === 0 || (name !== '' && named.includes(name)))
  );
}

function kindOf(plural: string): ServedKind {
  return BUILT_IN_KINDS.find((kind) => kind.plural === plural)!;
}

/** `{spec}` of a SubjectAccessReview or SelfSubjectAccessReview as a request; null for non-resource ones. */
export function reviewedRequest(spec: Fields): AccessRequest | null {
  const attributes = spec['resourceAttributes'];
  if (!isFields(attributes)) return null;
  return {
    verb: text(attributes, 'verb'),
    group: text(attributes, 'group'),
    resource: text(attributes, 'resource'),
    subresource: text(attributes, 'subresource'),
    namespace: text(attributes, 'namespace'),
    name: text(attributes, 'name'),
  };
}

/** The user that a SubjectAccessReview asks about. */
export function reviewedUser(spec: Fields): User {
  return { username: text(spec, 'user'), uid: text(spec, 'uid'), groups: texts(spec, 'groups') };
}
