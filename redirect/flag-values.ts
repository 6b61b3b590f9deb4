import { type IpRange, parseIpRange } from './ip-range.ts';
import type { PortRange } from './settings.ts';

/** Readers of flag values: each gives what is right of it and says each part that is wrong. */

type Say = (problem: string) => void;

/** Entries of one list. Each is a rule or two that every first packet of a connection passes. */
const ENTRIES_MAX = 512;
const ID_MAX = 4_294_967_294; // the highest is "no such user" to the kernel
const INTERFACE_NAME_MAX = 15; // IFNAMSIZ - 1

export function readPort(text: string, say: Say): number {
  const port = portNumber(text.trim());
  if (port === 0) say(`"${text}" is not a port from 1 to 65535`);
  return port;
}

/** `80,443,8000:8010`, a range also as `8000-8010`. */
export function readPorts(text: string, say: Say): readonly PortRange[] {
  return split(text, say).flatMap((entry) => {
    if (entry === '*') {
      say('"*" stands alone');
      return [];
    }
    const [first = '', last, ...more] = entry.split(/[:-]/);
    const from = portNumber(first);
    const to = last === undefined ? from : portNumber(last);
    if (from === 0 || to === 0 || more.length > 0) {
      say(`"${entry}" is not a port from 1 to 65535, nor a range of them such as 8000:8010`);
      return [];
    }
    if (from > to) {
      say(`"${entry}" ends before it begins`);
      return [];
    }
    return [from === to ? String(from) : `${from}:${to}`];
  });
}

export function readRanges(text: string, say: Say): readonly IpRange[] {
  const seen = new Set<string>();
  return split(text, say).flatMap((entry) => {
    const range = entry === '*' ? null : parseIpRange(entry);
    if (entry === '*') say('"*" stands alone');
    else if (range === null) {
      say(`"${entry}" is not a CIDR block such as 10.0.0.0/8 or 2001:db8::/32`);
    }
    if (range === null || seen.has(range.text)) return [];
    seen.add(range.text);
    return [range];
  });
}

/** User numbers. 0 is refused: everything that runs as root would pass the mesh by. */
export function readIds(text: string, say: Say): readonly number[] {
  return readNumbers(text, 'user', say);
}

export function readGids(text: string, say: Say): readonly number[] {
  return readNumbers(text, 'group', say);
}

export function readInterfaces(text: string, say: Say): readonly string[] {
  return split(text, say).filter((name) => {
    const good =
      name.length <= INTERFACE_NAME_MAX && /^[A-Za-z0-9_.@][A-Za-z0-9_.@-]*\+?$/.test(name);
    if (!good) {
      say(
        `"${name}" is not the name of a network interface (up to ${INTERFACE_NAME_MAX} of letters, digits and _ . @ -; a + at the end stands for the rest)`,
      );
    }
    return good;
  });
}

function readNumbers(text: string, what: 'user' | 'group', say: Say): readonly number[] {
  return split(text, say).flatMap((entry) => {
    const id = /^[0-9]{1,10}$/.test(entry) ? Number(entry) : -1;
    if (id === 0) {
      say(`0 is refused: what runs as root would pass the mesh by; run the sidecar as 1337`);
    } else if (id < 0 || id > ID_MAX) {
      say(`"${entry}" is not the number of a ${what}, 1 to ${ID_MAX}`);
    }
    return id > 0 && id <= ID_MAX ? [id] : [];
  });
}

/** Entries between commas, trimmed, without empty ones and repetitions. */
function split(text: string, say: Say): readonly string[] {
  const entries = [...new Set(text.split(',').map((entry) => entry.trim()))].filter(
    (entry) => entry !== '',
  );
  if (entries.length <= ENTRIES_MAX) return entries;
  say(`${entries.length} entries; at most ${ENTRIES_MAX}`);
  return [];
}

/** 0 where it is none. */
function portNumber(text: string): number {
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
  return port <= 65_535 ? port : 0;
}
