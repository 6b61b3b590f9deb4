import type { CommandLine } from './flags.ts';
import type { Iptables } from './iptables.ts';
import type { RedirectContext } from './redirect.ts';
import type { RedirectSettings } from './settings.ts';

export async function verifyRedirection(
  _settings: RedirectSettings,
  _commandLine: CommandLine,
  _families: readonly Iptables[],
  { fail }: RedirectContext,
): Promise<boolean> {
  fail('--verify is not there yet');
  return false;
}
