import { createHash } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { SOURCE_CHARS_MAX } from '../../control-plane/kinds/source-text.ts';
import { type ReverseEdit, revertEdits } from './text-edit.ts';

/**
 * How the offline command gives a text back byte for byte: an annotation of the injected object (never of a pod template,
 * where it would restart pods) holds the changes that lead back. Offsets count from the document's root; the text that
 * they fit is the injected one with the record itself cut out, known by its hash, so that a text which was edited since
 * then is not mangled.
 */
export const SOURCE_ANNOTATION = 'sidecar.weft.dev/source';

/** The annotation's value before the record is written behind it. */
export const SOURCE_PREFIX = 'v1.';

const RECORD = /^v1\.([A-Za-z0-9_-]+)$/;

/** The record of `reverse`, which fit `text` (from the root on). */
export function encodeUndo(text: string, reverse: readonly ReverseEdit[]): string {
  const last = Math.max(0, ...reverse.map(({ offset, length }) => offset + length));
  const record = [
    last,
    hashOf(text.slice(0, last)),
    ...reverse.flatMap(({ offset, length, text: before }) => [offset, length, before]),
  ];
  return deflateRawSync(JSON.stringify(record), { level: 9 }).toString('base64url');
}

/** The text before injection from `text`, both from the root on; undefined where the record is not of this text. */
export function undoText(text: string, annotation: string): string | undefined {
  const encoded = RECORD.exec(annotation)?.[1];
  const record = encoded === undefined ? undefined : decode(encoded);
  if (record === undefined) return undefined;
  const [last, hash, ...rest] = record;
  if (typeof last !== 'number' || hashOf(text.slice(0, last)) !== hash) return undefined;
  const reverse: ReverseEdit[] = [];
  for (let at = 0; at < rest.length; at += 3) {
    const [offset, length, before] = rest.slice(at, at + 3);
    if (!isCount(offset) || !isCount(length) || typeof before !== 'string') return undefined;
    reverse.push({ offset, length, text: before });
  }
  return revertEdits(text, reverse);
}

function decode(encoded: string): unknown[] | undefined {
  try {
    const bytes = inflateRawSync(Buffer.from(encoded, 'base64url'), {
      maxOutputLength: 8 * SOURCE_CHARS_MAX,
    });
    const value: unknown = JSON.parse(bytes.toString());
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 16);
}

function isCount(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0;
}
