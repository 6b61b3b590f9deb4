import { hasProgram } from './program.ts';

export const noNghttp = () =>
  hasProgram('nghttp') ? false : 'nghttp is not installed (Debian: nghttp2-client)';

export const noH2load = () =>
  hasProgram('h2load') ? false : 'h2load is not installed (Debian: nghttp2-client)';
