import { expect, test } from 'vitest';
import { messageInfo, messageNames } from './fields.ts';
import { GENERATED_CODECS } from './gen/codecs.ts';
import * as typeUrls from './type-urls.ts';
import { hasOwnJsonForm } from './well-known.ts';

test('the keys of the field table are those of the generated messages', () => {
  for (const name of messageNames()) {
    if (hasOwnJsonForm(name)) continue;
    const info = messageInfo(name)!;
    const keys = info.fields.map((field) => field.oneof || field.key);
    const message = GENERATED_CODECS.get(name)!.create() as object;
    expect(new Set(Object.keys(message)), name).toEqual(new Set(keys));
  }
});

test('foreign names find nothing', () => {
  for (const name of ['', 'constructor', '__proto__', 'envoy.None'])
    expect(messageInfo(name)).toBeUndefined();
  expect(messageInfo('envoy.config.core.v3.Node')!.byName.get('constructor')).toBeUndefined();
});

test('every type URL that stands for a message has that message', () => {
  const urls = Object.values(typeUrls).filter((value) => typeof value === 'string');
  const unknown = urls.filter(
    (url) =>
      url.includes('/') &&
      url !== typeUrls.TYPE_URL_PREFIX &&
      !GENERATED_CODECS.has(typeUrls.messageNameOf(url)),
  );
  expect(unknown).toEqual([typeUrls.TYPE_HEALTH]);
});
