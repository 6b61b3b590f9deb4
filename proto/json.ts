/** proto3 JSON, read strictly and written as Envoy's admin port writes it. */
export { type FieldPath, formatPath } from './field-path.ts';
export { formatProblem, type JsonProblem, type JsonRead, readJson } from './json-reader.ts';
export { writeJson } from './json-writer.ts';
