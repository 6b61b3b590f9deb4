import { isIP, isIPv4 } from 'node:net';

/** The value that an annotation's text stands for, or what is right instead. */
export type AnnotationValue<Value> = { readonly value: Value } | { readonly wanted: string };

const LIST_CHARS_MAX = 4096;
/** `weft redirect` takes 512, and some of them are the sidecar's own. */
const LIST_ITEMS_MAX = 500;

/** Go's strconv.ParseBool, as Istio reads its annotations. */
export function readBoolean(text: string): AnnotationValue<boolean> {
  if (/^(1|t|T|true|TRUE|True)$/.test(text)) return { value: true };
  if (/^(0|f|F|false|FALSE|False)$/.test(text)) return { value: false };
  return { wanted: '"true" or "false"' };
}

/** Port numbers separated by commas; may be empty. */
export function readPorts(text: string): AnnotationValue<string> {
  const wanted = 'port numbers from 1 to 65535, separated by commas';
  if (text.length > LIST_CHARS_MAX) return { wanted };
  const ports = listed(text);
  if (ports.length > LIST_ITEMS_MAX) return tooMany('ports');
  const right = ports.every((port) => /^\d{1,5}$/.test(port) && +port >= 1 && +port <= 65_535);
  return right ? { value: ports.map(Number).join(',') } : { wanted };
}

export function readAllOrPorts(text: string): AnnotationValue<string> {
  if (text.trim() === '*') return { value: '*' };
  const read = readPorts(text);
  return 'value' in read ? read : { wanted: `"*" or ${read.wanted}` };
}

/** IPv4 and IPv6 networks separated by commas; may be empty. */
export function readCidrs(text: string): AnnotationValue<string> {
  const wanted = 'networks such as 10.0.0.0/8, separated by commas';
  if (text.length > LIST_CHARS_MAX) return { wanted };
  const networks = listed(text);
  if (networks.length > LIST_ITEMS_MAX) return tooMany('networks');
  return networks.every(isCidr) ? { value: networks.join(',') } : { wanted };
}

export function readAllOrCidrs(text: string): AnnotationValue<string> {
  if (text.trim() === '*') return { value: '*' };
  const read = readCidrs(text);
  return 'value' in read ? read : { wanted: `"*" or ${read.wanted}` };
}

/** Names of network interfaces: 15 characters, as Linux has them; a `+` at the end stands for the rest, as in iptables. */
export function readInterfaces(text: string): AnnotationValue<string> {
  const wanted = 'names of network interfaces, separated by commas';
  if (text.length > LIST_CHARS_MAX) return { wanted };
  const names = listed(text);
  if (names.length > LIST_ITEMS_MAX) return tooMany('interfaces');
  const right = names.every(
    (name) => name.length <= 15 && /^[A-Za-z0-9_.@][A-Za-z0-9_.@-]*\+?$/.test(name),
  );
  return right ? { value: names.join(',') } : { wanted };
}

function tooMany(what: string): { readonly wanted: string } {
  return { wanted: `at most ${LIST_ITEMS_MAX} ${what}` };
}

export function readQuantity(text: string): AnnotationValue<string> {
  return isQuantity(text) ? { value: text } : { wanted: 'a quantity such as 100m or 128Mi' };
}

export function readImage(text: string): AnnotationValue<string> {
  return isImage(text) ? { value: text } : { wanted: 'an image reference such as weft:1.2' };
}

export function readInteger(min: number, max: number) {
  return (text: string): AnnotationValue<number> => {
    const value = /^\d{1,10}$/.test(text) ? Number(text) : -1;
    return value >= min && value <= max
      ? { value }
      : { wanted: `a whole number from ${min} to ${max}` };
  };
}

export function readOneOf<Choice extends string>(...choices: readonly Choice[]) {
  return (text: string): AnnotationValue<Choice> => {
    const value = choices.find((choice) => choice === text);
    const wanted = choices.length === 1 ? `"${choices[0]}"` : `one of ${choices.join(', ')}`;
    return value === undefined ? { wanted } : { value };
  };
}

/** apimachinery resource.Quantity without a sign. */
export function isQuantity(text: string): boolean {
  return /^(\d{1,15}(\.\d{0,9})?|\.\d{1,9})(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?\d{1,2})?$/.test(
    text,
  );
}

/** `[registry[:port]/]path[:tag][@sha256:…]`; says no more than that nothing else hides in it. */
export function isImage(text: string): boolean {
  return text.length <= 512 && /^[A-Za-z0-9][A-Za-z0-9._/:@-]*$/.test(text);
}

function isCidr(text: string): boolean {
  const [address, prefix, ...rest] = text.split('/');
  if (address === undefined || prefix === undefined || rest.length > 0) return false;
  if (isIP(address) === 0 || address.includes('%') || !/^(0|[1-9]\d{0,2})$/.test(prefix)) {
    return false;
  }
  return Number(prefix) <= (isIPv4(address) ? 32 : 128);
}

function listed(text: string): string[] {
  return text.trim() === '' ? [] : text.split(',').map((item) => item.trim());
}
