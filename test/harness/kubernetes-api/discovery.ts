import type { ServedKind } from './served-kind.ts';

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

/** `/version`, `/api`, `/apis` and what lies below, `/openapi/v3`. Undefined = nothing is served there. */
export function discoveryDocument(
  kinds: readonly ServedKind[],
  segments: readonly string[],
): unknown {
  const [root, a, b, ...more] = segments;
  if (root === 'version' && a === undefined) {
    return {
      major: '1',
      minor: '32',
      gitVersion: 'v1.32.0',
      gitCommit: '',
      gitTreeState: 'clean',
      buildDate: '2025-01-01T00:00:00Z',
      goVersion: 'go1.23',
      compiler: 'gc',
      platform: 'linux/amd64',
    };
  }
  if (root === 'api') {
    if (a === undefined) {
      return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] };
    }
    return a === 'v1' && b === undefined ? resourceList(kinds, '', 'v1') : undefined;
  }
  if (root === 'openapi' && a === 'v3') return openApiV3(kinds, segments.slice(2));
  if (root !== 'apis' || more.length > 0) return undefined;
  const groups = [...new Set(kinds.map(({ group }) => group))].filter((group) => group !== '');
  if (a === undefined) {
    const described = groups.map((group) => apiGroup(kinds, group));
    return { kind: 'APIGroupList', apiVersion: 'v1', groups: described };
  }
  if (!groups.includes(a)) return undefined;
  if (b === undefined) return { kind: 'APIGroup', apiVersion: 'v1', ...apiGroup(kinds, a) };
  return versionsOf(kinds, a).includes(b) ? resourceList(kinds, a, b) : undefined;
}

function versionsOf(kinds: readonly ServedKind[], group: string): string[] {
  return [
    ...new Set(kinds.filter((kind) => kind.group === group).flatMap((kind) => kind.versions)),
  ];
}

function apiGroup(kinds: readonly ServedKind[], group: string): object {
  const versions = versionsOf(kinds, group).map((version) => ({
    groupVersion: `${group}/${version}`,
    version,
  }));
  return { name: group, versions, preferredVersion: versions[0] };
}

function served(kinds: readonly ServedKind[], group: string, version: string): ServedKind[] {
  return kinds.filter((kind) => kind.group === group && kind.versions.includes(version));
}

function resourceList(kinds: readonly ServedKind[], group: string, version: string): object {
  const resources = served(kinds, group, version).flatMap((kind) => {
    const { plural, singular, namespaced, shortNames, categories, isVirtual } = kind;
    return [
      {
        name: plural,
        singularName: singular,
        namespaced,
        kind: kind.kind,
        verbs: isVirtual ? ['create'] : VERBS,
        ...(shortNames.length > 0 && { shortNames }),
        ...(categories.length > 0 && { categories }),
      },
      ...kind.subresources.map((name) => subresource(kind, name)),
    ];
  });
  const groupVersion = group === '' ? version : `${group}/${version}`;
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources };
}

function subresource({ plural, namespaced, kind }: ServedKind, name: string): object {
  const common = { name: `${plural}/${name}`, singularName: '', namespaced };
  if (name === 'scale') {
    return {
      ...common,
      group: 'autoscaling',
      version: 'v1',
      kind: 'Scale',
      verbs: ['get', 'patch', 'update'],
    };
  }
  if (name === 'token') {
    return {
      ...common,
      group: 'authentication.k8s.io',
      version: 'v1',
      kind: 'TokenRequest',
      verbs: ['create'],
    };
  }
  return { ...common, kind, verbs: ['get', 'patch', 'update'] };
}

/** Enough for kubectl to know that the server checks fields and takes dry runs; schemas say nothing. */
function openApiV3(kinds: readonly ServedKind[], segments: readonly string[]): unknown {
  const [root, a, b, ...more] = segments;
  const groupVersions = [
    ...new Set(
      kinds.flatMap(({ group, versions }) =>
        versions.map((version) => (group === '' ? `api/${version}` : `apis/${group}/${version}`)),
      ),
    ),
  ];
  if (root === undefined) {
    const paths = groupVersions.map((name) => [name, { serverRelativeURL: `/openapi/v3/${name}` }]);
    return { paths: Object.fromEntries(paths) };
  }
  if (more.length > 0 || !groupVersions.includes(segments.join('/'))) return undefined;
  const [group, version] = root === 'api' ? ['', a!] : [a!, b!];
  const kindsHere = served(kinds, group, version);
  const query = { in: 'query', schema: { type: 'string', uniqueItems: true } };
  const paths = kindsHere.map(({ plural, kind, namespaced }) => [
    `/${segments.join('/')}${namespaced ? '/namespaces/{namespace}' : ''}/${plural}/{name}`,
    {
      patch: {
        operationId: `patch${kind}`,
        parameters: ['dryRun', 'fieldManager', 'fieldValidation', 'force'].map((name) => ({
          name,
          ...query,
        })),
        responses: { 200: { description: 'OK' } },
        'x-kubernetes-action': 'patch',
        'x-kubernetes-group-version-kind': { group, version, kind },
      },
    },
  ]);
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: 'v1.32.0' },
    paths: Object.fromEntries(paths),
    components: { schemas: {} },
  };
}
