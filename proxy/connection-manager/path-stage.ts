import { normalisePath, type PathNormalisation } from '../http/path-normalisation.ts';
import type { ConnectionManagerConfig } from './connection-manager-config.ts';
import { type RequestStage, StageResult } from './request-stage.ts';

const DETAILS = 'path_normalization_failed';

/**
 * Path normalisation (TM-28, A2.3): `normalize_path`, `merge_slashes` and
 * `path_with_escaped_slashes_action` in one pass, before anything judges the path. The record keeps
 * the path as received.
 */
export function sanitisePath(config: ConnectionManagerConfig): RequestStage {
  const { escapedSlashes } = config;
  const unescapes = escapedSlashes === 'UNESCAPE_FORWARD' || escapedSlashes === 'UNESCAPE_REDIRECT';
  const mode = normalisationMode(config, unescapes);
  return {
    name: 'path',
    begin(stream) {
      const { head } = stream;
      if (escapedSlashes !== 'KEEP' && hasEscapedSlash(head.path)) {
        if (escapedSlashes === 'REJECT') {
          stream.answer({ kind: 'badRequest', details: DETAILS });
          return StageResult.Answered;
        }
        if (escapedSlashes === 'UNESCAPE_REDIRECT') {
          const target = normalisePath(head.path, mode);
          stream.answer(
            target === null
              ? { kind: 'badRequest', details: DETAILS }
              : { kind: 'pathRedirect', location: target },
          );
          return StageResult.Answered;
        }
      }
      if (mode === 'NONE') return StageResult.Continue;
      const path = normalisePath(head.path, mode);
      if (path === null) {
        stream.answer({ kind: 'badRequest', details: DETAILS });
        return StageResult.Answered;
      }
      head.path = path;
      return StageResult.Continue;
    },
  };
}

/**
 * Unescaping slashes implies merging them: `%2F` next to `/` would otherwise leave an empty segment
 * that routing and app may read differently.
 */
function normalisationMode(config: ConnectionManagerConfig, unescapes: boolean): PathNormalisation {
  if (unescapes) return 'DECODE_AND_MERGE_SLASHES';
  if (config.mergeSlashes) return 'MERGE_SLASHES';
  return config.normalizePath ? 'BASE' : 'NONE';
}

/** `%2F` or `%5C` in any case, before the query. */
function hasEscapedSlash(path: string): boolean {
  for (let at = path.indexOf('%'); at >= 0; at = path.indexOf('%', at + 1)) {
    const queryAt = path.indexOf('?');
    if (queryAt >= 0 && queryAt < at) return false;
    const digits = path.slice(at + 1, at + 3).toLowerCase();
    if (digits === '2f' || digits === '5c') return true;
  }
  return false;
}
