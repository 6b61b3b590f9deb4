import { readFileSync } from 'node:fs';
import { get } from 'node:http';
import { healthQuestion } from './container-role.ts';

/**
 * HEALTHCHECK of the image: asks the role that runs as process 1 of the container whether it is ready. Exit code 0, or 1
 * with the reason.
 */

const TIMEOUT_MS = 2500;

process.exit(await check());

async function check(): Promise<number> {
  const question = healthQuestion(readFileSync('/proc/1/cmdline', 'utf8'), process.env);
  switch (question.kind) {
    case 'sidecar':
      return (await import('../../proxy/main.ts')).main(['healthcheck']);
    case 'http': {
      const reason = await unready(question.url);
      if (reason !== '') process.stderr.write(`not ready: ${reason}\n`);
      return reason === '' ? 0 : 1;
    }
    case 'none':
      return 0;
    case 'unknown':
      process.stderr.write(`${question.problem}\n`);
      return 1;
  }
}

/** '' where the answer is 200. */
function unready(url: string): Promise<string> {
  return new Promise((resolve) => {
    const request = get(url, { timeout: TIMEOUT_MS }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk.slice(0, 500);
      });
      response.on('error', ({ message }) => resolve(message));
      response.on('end', () => {
        resolve(response.statusCode === 200 ? '' : text.trim() || `status ${response.statusCode}`);
      });
    });
    request.on('timeout', () => request.destroy(new Error('no answer in time')));
    request.on('error', ({ message }) => resolve(`${url}: ${message}`));
  });
}
