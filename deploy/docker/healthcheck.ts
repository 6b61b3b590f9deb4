import { readFileSync } from 'node:fs';
import { get } from 'node:http';

/**
 * HEALTHCHECK of the image: asks the role that runs as process 1 of the container whether it is ready. Exit code 0, or 1
 * with the reason. The roles that end by themselves are healthy while they run.
 */

const TIMEOUT_MS = 2500;
/** `--monitoring` of the control plane. */
const MONITORING_DEFAULT = '127.0.0.1:15014';

const words = readFileSync('/proc/1/cmdline', 'utf8').split('\0');
const [role = '', ...args] = words.slice(words.findIndex((word) => word.endsWith('/weft.mjs')) + 1);
switch (role) {
  case 'proxy':
    process.exit(await (await import('../../proxy/main.ts')).main(['healthcheck']));
    break;
  case 'control-plane':
    process.exit(await isReady(`http://${monitoringAddress(args)}/ready`));
    break;
  default:
    process.exit(0);
}

/** As the flag says, else WEFT_MONITORING, else the default; an address of every interface is asked on loopback. */
function monitoringAddress(flags: readonly string[]): string {
  const at = flags.findIndex((flag) => flag === '--monitoring' || flag.startsWith('--monitoring='));
  const flag = flags[at]?.split('=')[1] ?? (at < 0 ? undefined : flags[at + 1]);
  const address = flag ?? process.env['WEFT_MONITORING'] ?? MONITORING_DEFAULT;
  return address.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:');
}

function isReady(url: string): Promise<number> {
  return new Promise((resolve) => {
    const unready = (reason: string) => {
      process.stderr.write(`not ready: ${reason}\n`);
      resolve(1);
    };
    const request = get(url, { timeout: TIMEOUT_MS }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk.slice(0, 500);
      });
      response.on('end', () => {
        if (response.statusCode === 200) resolve(0);
        else unready(text.trim());
      });
    });
    request.on('timeout', () => request.destroy(new Error('no answer in time')));
    request.on('error', ({ message }) => unready(`${url}: ${message}`));
  });
}
