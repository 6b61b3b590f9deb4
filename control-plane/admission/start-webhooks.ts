import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { KeyPair } from '../ca/server-certificate.ts';
import { formatListenAddress, type ListenAddress } from '../listen-address.ts';
import { AdmissionMetrics } from './admission-metrics.ts';
import { createAdmissionServer } from './admission-server.ts';
import { InjectionSettingsSource } from './injection-settings-source.ts';
import { injectionWebhook } from './injection-webhook.ts';
import { type NamespaceLabels, podInjector } from './pod-injector.ts';
import { validatePolicy } from './validation-webhook.ts';

export interface WebhooksOptions {
  readonly listen: ListenAddress;
  readonly settingsFile: string | null;
  /** What the settings are where the file does not say. */
  readonly settingsDefaults: Readonly<Record<string, unknown>>;
  readonly namespaces: NamespaceLabels | null;
  readonly followKeyPair: (listener: (keyPair: KeyPair) => void) => () => void;
  readonly registry: Registry;
  readonly nowMs: () => number;
  readonly schedule: (delayMs: number, callback: () => void) => () => void;
  readonly log: Logger;
}

export interface Webhooks {
  /** `host:port`. */
  readonly address: string;
  close(): Promise<void>;
}

/** Puts the webhooks together. Rejects where it cannot listen, or with all that is wrong with the settings file. */
export async function startWebhooks(options: WebhooksOptions): Promise<Webhooks> {
  const { listen, settingsFile, settingsDefaults, schedule, log } = options;
  const settings = InjectionSettingsSource.open({
    file: settingsFile,
    defaults: settingsDefaults,
    schedule,
    log,
  });
  if ('problems' in settings) throw new InjectionSettingsError(settings.problems.join('\n'));
  try {
    const metrics = new AdmissionMetrics(options.registry);
    const inject = podInjector({
      settings: () => settings.settings,
      namespaces: options.namespaces,
    });
    const server = await createAdmissionServer({
      listen,
      followKeyPair: options.followKeyPair,
      inject: injectionWebhook(inject, metrics),
      validate: validatePolicy,
      notReady: () => undefined,
      counts: metrics,
      log,
      nowMs: options.nowMs,
    });
    return {
      address: formatListenAddress(server.address),
      close: async () => {
        settings.close();
        await server.close();
      },
    };
  } catch (error) {
    settings.close();
    throw error;
  }
}

/** `--injection-settings` names a file that is not valid; the message has every problem with its place. */
class InjectionSettingsError extends Error {
  readonly code = 'WEFT_INJECTION_SETTINGS';
}
