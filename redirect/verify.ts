import { proveConnections } from './connection-proof.ts';
import type { CommandLine } from './flags.ts';
import { findIptables, type Iptables } from './iptables.ts';
import { hasPassthroughSource } from './ipv6-source.ts';
import { type LoadedProof, proveLoaded } from './loaded-proof.ts';
import { skipped } from './proof.ts';
import { FAMILIES, type Family, type RedirectSettings } from './settings.ts';

export interface VerifyContext {
  /** PATH. */
  readonly path: string;
  readonly log: (line: string) => void;
  readonly fail: (line: string) => void;
}

/**
 * Real connections that must arrive at the sidecar's ports, made before the sidecar listens there. True only where
 * nothing failed and something was proven.
 */
export async function verifyRedirection(
  settings: RedirectSettings,
  { probePort, probeTimeoutMs, ipv6 }: CommandLine,
  families: readonly Iptables[] | null,
  context: VerifyContext,
): Promise<boolean> {
  const which =
    families?.map(({ family }) => family) ??
    FAMILIES.filter((family) => family === 'v4' || (ipv6 !== 'off' && hasPassthroughSource()));
  let proven = 0;
  let failed = 0;
  for (const family of which) {
    const name = family === 'v4' ? 'IPv4' : 'IPv6';
    const iptables = families?.find((programs) => programs.family === family);
    const loaded = await (iptables === undefined
      ? proveLoadedBefore(settings, family, context.path)
      : proveLoaded(settings, iptables));
    const connections = await proveConnections({
      settings,
      family,
      probePort,
      timeoutMs: probeTimeoutMs,
    });
    const behind = loaded.ahead.length > 0 ? `; ${loaded.ahead.join('; ')}` : '';
    const proofs = [
      ...loaded.proofs,
      ...connections.map((proof) => ({
        kind: proof.kind,
        line: proof.kind === 'failed' ? `${proof.line}${behind}` : proof.line,
      })),
    ];
    for (const { kind, line } of proofs) {
      if (kind === 'proven') proven++;
      if (kind === 'failed') failed++;
      (kind === 'failed' ? context.fail : context.log)(`verify: ${name} ${line}`);
    }
  }
  if (failed > 0) return false;
  if (proven > 0) return true;
  context.fail('verify: nothing could be proven: no test could be made here');
  return false;
}

/** Without `apply` before it: the rules of an earlier run, where this process may read them. */
async function proveLoadedBefore(
  settings: RedirectSettings,
  family: Family,
  path: string,
): Promise<LoadedProof> {
  const found = await findIptables(family, path);
  if (found.kind === 'found') return proveLoaded(settings, found.iptables);
  return { proofs: [skipped(`rules: they cannot be read: ${found.message}`)], ahead: [] };
}
