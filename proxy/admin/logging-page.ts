import { LOG_LEVEL_NAMES, type Loggers, parseLogLevel } from '../observe/logger.ts';
import { type EndpointReply, type EndpointRequest, plain } from './http-endpoint.ts';

/**
 * `POST /logging`: without parameters lists the loggers; `?level=debug` sets all, `?xds=debug` one,
 * `?paths=xds:debug,upstream:info` several. Nothing changes where any part is wrong.
 */
export function loggingPage(loggers: Loggers, { query }: EndpointRequest): EndpointReply {
  const changes: (readonly [name: string, level: string])[] = [];
  for (const [key, value] of query) {
    if (key !== 'paths') changes.push([key, value]);
    else for (const pair of value.split(',')) changes.push(split(pair));
  }
  const known = new Map(loggers.levels());
  for (const [name, level] of changes) {
    if (parseLogLevel(level) === null) {
      return plain(400, `'${level}' is no level; one of ${LOG_LEVEL_NAMES}\n`);
    }
    if (name !== 'level' && !known.has(name)) {
      return plain(400, `there is no logger '${name}'; one of ${[...known.keys()].join(', ')}\n`);
    }
  }
  for (const [name, level] of changes) {
    if (name === 'level') loggers.setAll(parseLogLevel(level)!);
    else loggers.set(name, parseLogLevel(level)!);
  }
  const lines = loggers.levels().map(([name, level]) => `  ${name}: ${level}\n`);
  return plain(200, `active loggers:\n${lines.join('')}`);
}

function split(pair: string): readonly [string, string] {
  const colon = pair.indexOf(':');
  return colon < 0 ? [pair, ''] : [pair.slice(0, colon), pair.slice(colon + 1)];
}
