/**
 * TM-22: whether an object of `namespace` with this `exportTo` is seen by a proxy of `proxyNamespace`. `*` everybody,
 * `.` its own namespace, `~` nobody, else a list of namespaces; an empty list counts as `*`.
 */
export function isVisible(
  exportTo: readonly string[],
  namespace: string,
  proxyNamespace: string,
): boolean {
  if (exportTo.length === 0) return true;
  for (const target of exportTo) {
    if (target === '*' || target === proxyNamespace) return true;
    if (target === '.' && namespace === proxyNamespace) return true;
  }
  return false;
}
