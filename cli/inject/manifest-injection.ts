import { type Document, isAlias, isMap as isMapNode, isSeq, type Node } from 'yaml';
import { injectPod } from '../../control-plane/injector/inject.ts';
import { readStatus, STATUS_ANNOTATION } from '../../control-plane/injector/injection-status.ts';
import { isMap, type Pod, type PodProblem } from '../../control-plane/injector/pod.ts';
import type { InjectionSettings } from '../../control-plane/injector/settings.ts';
import { uninjectPod } from '../../control-plane/injector/uninject.ts';
import { formatPath, type Problem, printable } from '../../control-plane/kinds/problem.ts';
import type { FieldPath, Fields } from '../../control-plane/kinds/schema.ts';
import { type SourceDocument, VALUES_MAX } from '../../control-plane/kinds/source-document.ts';
import {
  DOCUMENTS_MAX,
  parseYaml,
  readYamlDocument,
} from '../../control-plane/kinds/yaml-reader.ts';
import { sameValue } from './same-value.ts';
import { applyEdits } from './text-edit.ts';
import { encodeUndo, SOURCE_ANNOTATION, SOURCE_PREFIX, undoText } from './undo-record.ts';
import { type ManifestObject, objectsOf, valueAt, type WorkloadPlace } from './workload-kind.ts';
import { editYaml } from './yaml-edit.ts';

/** What became of one object. */
export interface ObjectReport {
  readonly kind: string;
  readonly name: string;
  readonly outcome: 'injected' | 'uninjected' | 'unchanged' | 'skipped';
  /** Why it was skipped. */
  readonly reason: string;
  readonly warnings: readonly string[];
  /** What was added, for those who ask. */
  readonly details: readonly string[];
}

export interface ManifestResult {
  readonly text: string;
  readonly reports: readonly ObjectReport[];
  /** Where there are any, `text` is not to be used. */
  readonly problems: readonly Problem[];
}

/**
 * Injects every workload of a manifest (YAML of many documents, or JSON). A document in which nothing is injected stays
 * byte for byte; the others change where injection adds something and nowhere else. What was injected before is taken out
 * first, so that the outcome does not depend on it.
 */
export function injectManifest(
  text: string,
  file: string,
  namespace: string,
  settings: InjectionSettings,
): ManifestResult {
  const manifest = new Manifest(text, file);
  return manifest.change((slice) => manifest.inject(slice, namespace, settings));
}

/** The manifest as it was before `injectManifest`: byte for byte where it was not edited since then. */
export function uninjectManifest(text: string, file: string): ManifestResult {
  const manifest = new Manifest(text, file);
  return manifest.change((slice) => manifest.uninject(slice));
}

/** The text of one document, and what is known of it. */
interface Slice {
  readonly text: string;
  readonly document: Document<Node>;
  readonly read: SourceDocument;
}

class Manifest {
  readonly #text: string;
  readonly #file: string;
  readonly #reports: ObjectReport[] = [];
  readonly #problems: Problem[] = [];
  /** Offset of the document at hand, for the places of problems. */
  #offset = 0;

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
  }

  change(changeDocument: (slice: Slice) => string): ManifestResult {
    const text = this.#text;
    const documents = parseYaml(text);
    if (documents.length > DOCUMENTS_MAX) {
      this.#problem(0, [], `has more than ${DOCUMENTS_MAX} documents`);
      return this.#result(text);
    }
    const parts: string[] = [];
    let at = 0;
    for (const document of documents) {
      const [start, , end] = document.range ?? [at, at, at];
      parts.push(text.slice(at, start));
      at = end;
      if (document.errors.length > 0) {
        // Some stand behind the document: its own text would not show them.
        this.#offset = 0;
        this.#isReadable(readYamlDocument(document));
        parts.push(text.slice(start, end));
        continue;
      }
      this.#offset = start;
      const others = objectsWithoutPods(document);
      const slice = others === undefined ? sliceOf(text.slice(start, end)) : undefined;
      for (const { kind, name } of others ?? []) this.#report(kind, name, 'unchanged');
      parts.push(slice === undefined ? text.slice(start, end) : changeDocument(slice));
    }
    parts.push(text.slice(at));
    return this.#result(parts.join(''));
  }

  inject(slice: Slice, namespace: string, settings: InjectionSettings): string {
    if (!this.#isReadable(slice.read)) return slice.text;
    const objects = objectsOf(slice.read.value);
    const before = this.#original(slice, objects);
    if (before === undefined) return slice.text;
    const original = before === slice.text ? slice : sliceOf(before);
    if (original === undefined) return slice.text;

    const value = structuredClone(original.read.value);
    const outcomes = objects.map((object) =>
      this.#injectObject(object, original, value, namespace, settings),
    );
    const first = objects.find((_, index) => outcomes[index]?.outcome === 'injected')?.workload;
    let text = before;
    if (first !== undefined && countValues(value) > VALUES_MAX) {
      this.#problem(rootOf(slice), [], `injected, holds more than ${VALUES_MAX} values: split it`);
      return slice.text;
    }
    if (first !== undefined) {
      setAnnotation(value, first.object, SOURCE_PREFIX);
      text = this.#write(original, value, first);
    }
    const unchanged = text === slice.text;
    for (const outcome of outcomes) {
      if (outcome === undefined) continue;
      const same = unchanged && outcome.outcome === 'injected';
      const reason = 'injected already';
      this.#reports.push(same ? { ...outcome, outcome: 'unchanged', reason } : outcome);
    }
    return text;
  }

  uninject(slice: Slice): string {
    if (!this.#isReadable(slice.read)) return slice.text;
    const objects = objectsOf(slice.read.value);
    const text = this.#original(slice, objects);
    if (text === undefined) return slice.text;
    for (const { kind, name, workload } of objects) {
      const was = workload !== undefined && isInjected(slice, workload);
      const outcome = was ? 'uninjected' : 'unchanged';
      this.#report(kind, name, outcome);
    }
    return text;
  }

  #injectObject(
    { kind, name, workload }: ManifestObject,
    slice: Slice,
    value: unknown,
    namespace: string,
    settings: InjectionSettings,
  ): ObjectReport | undefined {
    const report = (
      outcome: ObjectReport['outcome'],
      reason = '',
      warnings: readonly string[] = [],
      details: readonly string[] = [],
    ) => ({ kind, name, outcome, reason, warnings, details }) as const;
    if (workload === undefined) return report('unchanged');
    // The record of the way back goes there.
    for (const part of [['metadata'], ['metadata', 'annotations']]) {
      const map = valueAt(value, [...workload.object, ...part]);
      if (map === undefined || map === null || isMap(map)) continue;
      const whole = [...workload.object, ...part];
      this.#problem(slice.read.locate(whole, 'value'), whole, 'must be a map');
      return undefined;
    }
    const pod = valueAt(value, workload.pod);
    const isPod = kind === 'Pod';
    const context = {
      namespace: workload.namespace ?? namespace,
      workload: isPod ? undefined : { apiVersion: workload.apiVersion, kind, name },
    };
    const result = injectPod(pod, context, settings);
    switch (result.kind) {
      case 'refused':
        for (const problem of result.problems) this.#podProblem(slice, workload, problem);
        return undefined;
      case 'skipped':
        return report('skipped', result.reason, result.warnings);
      case 'injected':
        setFields(pod as Fields, result.pod);
        return report('injected', '', result.warnings, detailsOf(result.pod, result.reason));
    }
  }

  /** The text of a document before it was injected: byte for byte, else by what the pods say of themselves. */
  #original(slice: Slice, objects: readonly ManifestObject[]): string | undefined {
    const injected = objects.flatMap(({ workload }) =>
      workload !== undefined && isInjected(slice, workload) ? [workload] : [],
    );
    const marked = objects.flatMap(({ workload }) =>
      workload !== undefined && sourceOf(slice, workload) !== undefined ? [workload] : [],
    );
    if (injected.length === 0 && marked.length === 0) return slice.text;
    const value = structuredClone(slice.read.value);
    for (const workload of injected) {
      const pod = valueAt(value, workload.pod) as Fields;
      const result = uninjectPod(pod);
      if (result.kind === 'refused') {
        for (const problem of result.problems) this.#podProblem(slice, workload, problem);
        return undefined;
      }
      if (result.kind === 'restored') setFields(pod, result.pod);
    }
    for (const workload of marked)
      removeSource(value, workload, valueAt(slice.read.value, workload.object));
    for (const workload of marked) {
      const text = this.#exact(slice, workload, value);
      if (text !== undefined) return text;
    }
    return this.#edited(slice, value);
  }

  #exact(slice: Slice, workload: WorkloadPlace, value: unknown): string | undefined {
    const annotation = sourceOf(slice, workload)!;
    const root = rootOf(slice);
    const at = slice.text.indexOf(annotation, root);
    if (at < 0) return undefined;
    const cut = at + SOURCE_PREFIX.length;
    const text = slice.text.slice(root, cut) + slice.text.slice(at + annotation.length);
    const original = undoText(text, annotation);
    if (original === undefined) return undefined;
    const whole = slice.text.slice(0, root) + original;
    // The record is part of somebody's file: what it gives must be what the pods themselves say.
    const read = sliceOf(whole);
    return read !== undefined && sameValue(read.read.value, value, true) ? whole : undefined;
  }

  /** Writes `value` into the text and the way back behind the annotation. */
  #write(slice: Slice, value: unknown, workload: WorkloadPlace): string {
    const root = rootOf(slice);
    const edits = editYaml(slice.text, slice.document, slice.read.value, value);
    let applied = applyEdits(slice.text, edits);
    const read = applied && sliceOf(applied.text);
    if (applied === undefined || read === undefined || !sameValue(read.read.value, value)) {
      applied = rewriteWhole(slice, value);
    }
    const { text, reverse } = applied;
    const fromRoot = reverse.map((edit) => ({ ...edit, offset: edit.offset - root }));
    const undo = encodeUndo(text.slice(root), fromRoot);
    const after = this.#endOfSource(text, workload);
    return text.slice(0, after) + undo + text.slice(after);
  }

  /** Where in the text the record goes: behind the prefix that is the annotation's value. */
  #endOfSource(text: string, { object }: WorkloadPlace): number {
    const [document] = parseYaml(text);
    const node = document?.getIn([...object, 'metadata', 'annotations', SOURCE_ANNOTATION], true);
    const start = (node as Node | undefined)?.range?.[0] ?? text.length;
    return text.indexOf(SOURCE_PREFIX, start) + SOURCE_PREFIX.length;
  }

  #edited(slice: Slice, value: unknown): string {
    const applied = applyEdits(
      slice.text,
      editYaml(slice.text, slice.document, slice.read.value, value),
    );
    const read = applied && sliceOf(applied.text);
    if (applied !== undefined && read !== undefined && sameValue(read.read.value, value)) {
      return applied.text;
    }
    return rewriteWhole(slice, value).text;
  }

  #isReadable(read: SourceDocument): boolean {
    if (read.problems.length === 0) return true;
    for (const { offset, message } of read.problems) this.#problem(offset, [], message, 'syntax');
    return false;
  }

  #report(kind: string, name: string, outcome: ObjectReport['outcome']): void {
    this.#reports.push({ kind, name, outcome, reason: '', warnings: [], details: [] });
  }

  #podProblem({ read }: Slice, { pod }: WorkloadPlace, { path, message }: PodProblem): void {
    const whole = [...pod, ...path];
    this.#problem(read.locate(whole, 'value'), whole, printable(message, 1000));
  }

  #problem(
    offset: number,
    path: FieldPath,
    message: string,
    code: Problem['code'] = 'invalid',
  ): void {
    const before = this.#text.slice(0, this.#offset + offset);
    const line = before.split('\n').length;
    const column = before.length - before.lastIndexOf('\n');
    const where = path.length === 0 ? '' : formatPath(path);
    this.#problems.push({ file: this.#file, line, column, path: where, message, code });
  }

  #result(text: string): ManifestResult {
    return { text, reports: this.#reports, problems: this.#problems };
  }
}

function detailsOf(pod: Pod, reason: string): string[] {
  const status = readStatus(pod.metadata?.annotations?.[STATUS_ANNOTATION] ?? '');
  if (status === undefined) return [];
  const { original } = status;
  const lists = ['initContainers', 'containers', 'volumes', 'labels', 'annotations'] as const;
  const probes = Object.entries(original.probes).flatMap(([container, places]) =>
    Object.keys(places).map((place) => `${container}.${place}`),
  );
  return [
    `may be injected: ${reason}`,
    'no container, port, user or volume clashes with the sidecar',
    ...lists.flatMap((list) =>
      status[list].length ? [`${list}: ${status[list].join(', ')}`] : [],
    ),
    ...(probes.length > 0 ? [`asked through the sidecar: ${probes.join(', ')}`] : []),
  ];
}

/** Reads a text of one document; undefined where it holds none or several. */
function sliceOf(text: string): Slice | undefined {
  const [document, ...others] = parseYaml(text, true);
  if (document === undefined || others.length > 0) return undefined;
  return { text, document, read: readYamlDocument(document) };
}

function rootOf({ document }: Slice): number {
  return document.contents?.range?.[0] ?? 0;
}

/** The last resort for a layout that cannot be edited: all of the value anew, as JSON, which is YAML as well. */
function rewriteWhole(slice: Slice, value: unknown) {
  const start = rootOf(slice);
  const end = slice.document.contents?.range?.[1] ?? slice.text.length;
  const isLast = slice.text.slice(end).trim() === '';
  const inserted = JSON.stringify(value, null, 2) + (isLast ? '\n' : '');
  return applyEdits(slice.text, [{ offset: start, removed: end - start, inserted }])!;
}

/**
 * The objects of a document in which no pod can be, by a first look at its nodes: it is not read any closer, and tags,
 * merge keys and the like in it are other people's business. Undefined where there may be one.
 */
function objectsWithoutPods(document: Document<Node>): ManifestObject[] | undefined {
  const root = document.contents;
  if (!isMapNode(root)) return isAlias(root) ? undefined : [];
  const items = root.get('kind') === 'List' ? root.get('items') : undefined;
  const nodes = isSeq(items) ? items.items : [root];
  const objects: ManifestObject[] = [];
  for (const node of nodes) {
    if (isAlias(node) || (isMapNode(node) && node.has('<<') && !node.has('kind'))) return undefined;
    if (!isMapNode(node)) continue;
    const metadata = node.get('metadata');
    const found = objectsOf({
      apiVersion: node.get('apiVersion'),
      kind: node.get('kind'),
      metadata: isMapNode(metadata)
        ? { name: metadata.get('name'), generateName: metadata.get('generateName') }
        : undefined,
    });
    if (found.some(({ workload }) => workload !== undefined)) return undefined;
    objects.push(...found);
  }
  return objects;
}

/** Of a tree; stops counting where it is too large in any case. */
function countValues(value: unknown): number {
  const open = [value];
  let count = 0;
  while (open.length > 0 && count <= VALUES_MAX) {
    const at = open.pop();
    count++;
    if (typeof at === 'object' && at !== null) open.push(...Object.values(at));
  }
  return count;
}

function annotationsAt(value: unknown, path: FieldPath): unknown {
  return valueAt(value, [...path, 'metadata', 'annotations']);
}

function isInjected({ read }: Slice, { pod }: WorkloadPlace): boolean {
  return typeof valueAt(annotationsAt(read.value, pod), [STATUS_ANNOTATION]) === 'string';
}

function sourceOf({ read }: Slice, { object }: WorkloadPlace): string | undefined {
  const text = valueAt(annotationsAt(read.value, object), [SOURCE_ANNOTATION]);
  return typeof text === 'string' ? text : undefined;
}

function setAnnotation(value: unknown, path: FieldPath, text: string): void {
  const object = valueAt(value, path) as Fields;
  if (!isMap(object['metadata'])) object['metadata'] = {};
  const metadata = object['metadata'] as Fields;
  if (!isMap(metadata['annotations'])) metadata['annotations'] = {};
  (metadata['annotations'] as Fields)[SOURCE_ANNOTATION] = text;
}

/** The annotation, and the map of annotations where there is nothing else in it and the pod's own is not it. */
function removeSource(value: unknown, { object }: WorkloadPlace, before: unknown): void {
  const metadata = valueAt(value, [...object, 'metadata']);
  if (!isMap(metadata) || !isMap(metadata['annotations'])) return;
  const had = Object.keys(annotationsAt(before, []) ?? {}).length;
  delete metadata['annotations'][SOURCE_ANNOTATION];
  if (had > 0 && Object.keys(metadata['annotations']).length === 0) delete metadata['annotations'];
}

function setFields(target: Fields, source: Fields): void {
  for (const key of Object.keys(target)) {
    if (!Object.hasOwn(source, key)) delete target[key];
  }
  Object.assign(target, source);
}
