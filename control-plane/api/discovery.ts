import type { Kind } from '../kinds/kind.ts';
import { type ApiReply, json } from './api-routes.ts';

const VERBS = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'];

/** What generic clients such as kubectl ask to learn which kinds there are. Undefined = no such document. */
export function discovery(
  kinds: readonly Kind[],
  version: string,
  segments: readonly string[],
): ApiReply | undefined {
  const [root, group, apiVersion, ...more] = segments;
  if (more.length > 0) return undefined;
  if (root === 'version' && group === undefined) return json(200, versionInfo(version));
  // No core group: what kubectl looks for there (pods, services) is not kept here.
  if (root === 'api' && group === undefined)
    return json(200, { kind: 'APIVersions', versions: [] });
  if (root !== 'apis') return undefined;
  const groups = [...new Set(kinds.map((kind) => kind.group))];
  if (group === undefined) {
    const described = groups.map((name) => describeGroup(kinds, name));
    return json(200, { kind: 'APIGroupList', apiVersion: 'v1', groups: described });
  }
  if (!groups.includes(group)) return undefined;
  if (apiVersion === undefined) {
    return json(200, { kind: 'APIGroup', apiVersion: 'v1', ...describeGroup(kinds, group) });
  }
  const served = kinds.filter((kind) => kind.group === group && kind.versions.includes(apiVersion));
  return served.length === 0 ? undefined : resourceList(`${group}/${apiVersion}`, served);
}

function describeGroup(kinds: readonly Kind[], group: string): object {
  const names = kinds.filter((kind) => kind.group === group).flatMap((kind) => kind.versions);
  const versions = [...new Set(names)].map((version) => {
    return { groupVersion: `${group}/${version}`, version };
  });
  return { name: group, versions, preferredVersion: versions[0] };
}

function resourceList(groupVersion: string, kinds: readonly Kind[]): ApiReply {
  const resources = kinds.map((kind) => ({
    name: kind.plural,
    singularName: kind.singular,
    namespaced: true,
    kind: kind.kind,
    verbs: VERBS,
    shortNames: kind.shortNames,
    categories: ['istio-io', 'weft'],
  }));
  return json(200, { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources });
}

/** kubectl compares these numbers with its own; they say which Kubernetes' manners this server has. */
function versionInfo(version: string): object {
  return {
    major: '1',
    minor: '33',
    gitVersion: `v1.33.0+weft-${version}`,
    platform: `${process.platform}/${process.arch}`,
  };
}
