import { styleText } from 'node:util';

/** Where a command writes: data on stdout, talk on stderr. Given to commands so that tests can read it. */
export interface Terminal {
  out(text: string): void;
  talk(text: string): void;
  /** Colours only on a terminal, and as NO_COLOR and FORCE_COLOR say. */
  readonly colour: Colour;
  readonly isTty: boolean;
}

export type Colour = (style: 'red' | 'green' | 'yellow' | 'bold' | 'dim', text: string) => string;

/** The process's own streams. */
export function processTerminal(): Terminal {
  return {
    out: (text) => void process.stdout.write(text),
    talk: (text) => void process.stderr.write(text),
    colour: (style, text) => styleText(style, text, { stream: process.stdout }),
    isTty: process.stdout.isTTY === true,
  };
}
