/** Writing of the few DER forms (ITU-T X.690) that a certificate request needs. */

/** One value: tag, length, content. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag]), length(content.length), content]);
}

export function sequence(...parts: readonly Uint8Array[]): Buffer {
  return der(0x30, ...parts);
}

export function set(...parts: readonly Uint8Array[]): Buffer {
  return der(0x31, ...parts);
}

/** An integer of 0 to 127. */
export function smallInteger(value: number): Buffer {
  return der(0x02, Buffer.from([value]));
}

export function booleanTrue(): Buffer {
  return der(0x01, Buffer.from([0xff]));
}

export function octetString(content: Uint8Array): Buffer {
  return der(0x04, content);
}

/** Whole octets, no unused bits. */
export function bitString(content: Uint8Array): Buffer {
  return der(0x03, Buffer.from([0]), content);
}

/** `1.2.840.113549.1.9.14`. */
export function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const septets = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) {
      septets.unshift((left & 0x7f) | 0x80);
    }
    bytes.push(...septets);
  }
  return der(0x06, Buffer.from(bytes));
}

/** Short form to 127, else the fewest octets that hold it (X.690 §10.1). */
function length(value: number): Buffer {
  if (value < 0x80) return Buffer.from([value]);
  const octets: number[] = [];
  for (let left = value; left > 0; left = Math.floor(left / 256)) octets.unshift(left & 0xff);
  return Buffer.from([0x80 | octets.length, ...octets]);
}
