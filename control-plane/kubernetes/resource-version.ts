/**
 * Whether `version` is older than `than`. Resource versions are opaque, but since Kubernetes 1.35 (KEP-5504) decimal ones
 * of one kind may be compared as numbers, which they always were with etcd. False where either is anything else.
 */
export function isOlderVersion(version: string, than: string): boolean {
  if (!DECIMAL.test(version) || !DECIMAL.test(than)) return false;
  return version.length === than.length ? version < than : version.length < than.length;
}

/** Without leading zeros, so that length decides first. */
const DECIMAL = /^[1-9][0-9]{0,31}$/;
