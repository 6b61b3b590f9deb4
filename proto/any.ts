import { messageNames } from './fields.ts';
import type { Any } from './gen/google/protobuf/any.ts';
import type { MessageTypes } from './gen/registry.ts';
import { codecOf } from './message-codec.ts';
import { nearest } from './nearest.ts';
import type { Steps } from './steps.ts';
import { messageNameOf, TYPE_URL_PREFIX } from './type-urls.ts';

/** The message in an Any; narrow it by `typeUrl`. */
export type Unpacked =
  | { readonly ok: true; readonly typeUrl: string; readonly message: unknown }
  | { readonly ok: false; readonly problem: string };

export type UnpackedAs<T> =
  | { readonly ok: true; readonly message: T }
  | { readonly ok: false; readonly problem: string };

/** Full name of a message of the subset. */
export type MessageName = keyof MessageTypes;

/** Wraps a message for the wire. Throws where the type URL names no message of the subset. */
export function packAny<N extends MessageName>(
  typeUrl: `${typeof TYPE_URL_PREFIX}${N}`,
  message: MessageTypes[N],
): Any {
  const codec = codecOf(messageNameOf(typeUrl));
  if (codec === undefined)
    throw new Error(`packAny: no message of the subset is called ${typeUrl}`);
  return { typeUrl, value: codec.encode(message) };
}

/** Decodes an Any of any known type. An unknown type or malformed bytes are a problem, never a throw. */
export function unpackAny(any: Any): Unpacked {
  const name = messageNameOf(any.typeUrl);
  const codec = codecOf(name);
  if (codec === undefined) return { ok: false, problem: unknownType(any.typeUrl) };
  try {
    return { ok: true, typeUrl: any.typeUrl, message: codec.decode(any.value) };
  } catch (error) {
    return malformed(name, error);
  }
}

function malformed(name: string, error: unknown): { readonly ok: false; readonly problem: string } {
  const why = error instanceof Error ? error.message : error;
  return { ok: false, problem: `malformed ${name}: ${why}` };
}

/** Decodes an Any that must hold the message called `name`. */
export function unpackAs<N extends MessageName>(name: N, any: Any): UnpackedAs<MessageTypes[N]> {
  if (messageNameOf(any.typeUrl) !== name) return otherType(name, any);
  return unpackAny(any) as UnpackedAs<MessageTypes[N]>;
}

/** As `unpackAs`, with a pause after each field of the message itself and of large ones in it. */
export function* unpackAsSteps<N extends MessageName>(
  name: N,
  any: Any,
): Steps<UnpackedAs<MessageTypes[N]>> {
  if (messageNameOf(any.typeUrl) !== name) return otherType(name, any);
  try {
    const message = yield* codecOf(name)!.decodeSteps(any.value);
    return { ok: true, message: message as MessageTypes[N] };
  } catch (error) {
    return malformed(name, error);
  }
}

function otherType(
  name: string,
  { typeUrl }: Any,
): { readonly ok: false; readonly problem: string } {
  return {
    ok: false,
    problem: `expected ${TYPE_URL_PREFIX}${name}, got ${typeUrl || 'no type'}`,
  };
}

/** What to tell somebody who wrote a type URL that the subset does not have. */
export function unknownType(typeUrl: string): string {
  const name = messageNameOf(typeUrl);
  if (name === '') return `missing type; it reads "${TYPE_URL_PREFIX}…"`;
  const near = nearType(name);
  const hint = near === undefined ? '' : `; did you mean "${TYPE_URL_PREFIX}${near}"?`;
  return `unknown or unsupported type "${typeUrl}"${hint}`;
}

/** By the last part of the name first (a wrong package or version), then by spelling. */
function nearType(name: string): string | undefined {
  const simpleName = `.${name.slice(name.lastIndexOf('.') + 1)}`;
  const sameEnd: string[] = [];
  for (const each of messageNames()) if (each.endsWith(simpleName)) sameEnd.push(each);
  return nearest(name, sameEnd, name.length) ?? nearest(name, messageNames());
}
