import { expect, test } from 'vitest';
import { injectPod } from './inject.ts';
import { defaultInjectionSettings } from './settings.ts';
import { uninjectPod } from './uninject.ts';

const pod = () => ({
  metadata: { labels: { app: 'x' } },
  spec: { containers: [{ name: 'app', image: 'i' }] },
});

test('[KI-01] injection is undone by the status annotation and done again with the same outcome', () => {
  const once = injectPod(pod(), { namespace: 'default' }, defaultInjectionSettings());
  if (once.kind !== 'injected') throw new Error(once.kind);
  expect(uninjectPod(once.pod)).toEqual({ kind: 'restored', pod: pod() });
  expect(injectPod(once.pod, { namespace: 'default' }, defaultInjectionSettings())).toEqual(once);
});
