// Starts the built gateway and insists that it ends well.

import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {fileURLToPath} from 'node:url';

import {within} from './until.mjs';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const READY = /^ready http=(\S+) grpc=(\S+) media=(\S+) metrics=(\S+)$/m;
// What a sanitizer, a failed check or a crash leaves on stderr.
const DISASTER = /ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|VIGIL_CHECK failed/;

function address(text) {
  const colon = text.lastIndexOf(':');
  return {host: text.slice(0, colon), port: Number(text.slice(colon + 1))};
}

export class Gateway {
  log = '';
  url;      // http://127.0.0.1:PORT, or https: when `env` names a certificate
  grpc;     // 127.0.0.1:PORT
  metrics;  // http://127.0.0.1:PORT
  media;    // One {host, port} for each worker.
  #output = '';
  #scheme;
  #process;
  #exited;

  // The binary is named by VIGIL_GATEWAY. All ports are free ones of the loopback interface; `env`
  // sets further keys of the configuration.
  static async start({workers = 2, args = [], env = {}} = {}) {
    const binary = process.env.VIGIL_GATEWAY;
    if (!binary) throw new Error('VIGIL_GATEWAY must name the vigil-gateway binary');
    const gateway = new Gateway();
    gateway.#scheme = env.VIGIL_TLS_CERTIFICATE ? 'https' : 'http';
    gateway.#spawn(binary, args, {
      VIGIL_HTTP_PORT: '0', VIGIL_GRPC_PORT: '0', VIGIL_METRICS_PORT: '0', VIGIL_MEDIA_PORT: '0',
      VIGIL_NODE_WORKERS: String(workers), VIGIL_CONSOLE_DIR: `${ROOT}gateway/console`,
      VIGIL_SHUTDOWN_DRAIN_SECONDS: '0', ...env});
    try {
      await gateway.#untilReady();
    } catch (error) {
      gateway.#process.kill('SIGKILL');
      throw new Error(`${error.message}\n${gateway.log}`);
    }
    return gateway;
  }

  #spawn(binary, args, env) {
    this.#process = spawn(binary, args, {
      stdio: ['ignore', 'pipe', 'pipe'], cwd: ROOT, env: {...process.env, ...env}});
    this.#exited = once(this.#process, 'exit').then(([code, signal]) => ({code, signal}));
    this.#exited.catch(() => {});  // "Could not be started" is told by untilReady.
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => { this.log += text; });
    }
    this.#process.stdout.on('data', (text) => { this.#output += text; });
  }

  async #untilReady() {
    const ready = new Promise((resolve, reject) => {
      const look = () => {
        const match = READY.exec(this.#output);
        if (match && this.#output.indexOf('\n', match.index) >= 0) resolve(match);
      };
      this.#process.stdout.on('data', look);
      this.#exited.then(({code, signal}) => {
        reject(new Error(`the gateway ended before it was ready (${code ?? signal})`));
      }, reject);
    });
    const [, http, grpc, media, metrics] = await within(20_000, 'the ready line', ready);
    this.url = `${this.#scheme}://${http}`;
    this.grpc = grpc;
    this.metrics = `http://${metrics}`;
    this.media = media.split(',').map(address);
  }

  get pid() { return this.#process.pid; }

  // POSTs an SDP offer and returns the response, whatever it is.
  offer(path, sdp, headers = {}) {
    return fetch(this.url + path, {
      method: 'POST', body: sdp, headers: {'Content-Type': 'application/sdp', ...headers}});
  }

  // Calls a unary method; throws an Error with `code` when it is refused.
  async call(method, message = {}) {
    const response = await fetch(`${this.url}/vigil.v1.${method}`, {
      method: 'POST', body: JSON.stringify(message),
      headers: {'Content-Type': 'application/json'}});
    const reply = await response.json();
    if (response.ok) return reply;
    throw Object.assign(new Error(`${method}: ${reply.code}: ${reply.message}`), reply);
  }

  async stats() {
    const {peers = []} = await this.call('MediaService/GetStats');
    return {peers};
  }

  // Ends the gateway with SIGTERM. Throws, with its log, unless it exits 0 in time and left no
  // report of a sanitizer.
  async stop() {
    this.#process.kill('SIGTERM');
    let end;
    try {
      end = await within(20_000, 'the end of the gateway', this.#exited);
    } catch (error) {
      this.#process.kill('SIGKILL');
      throw new Error(`${error.message}\n${this.log}`);
    }
    if (end.code !== 0 || DISASTER.test(this.log)) {
      throw new Error(`the gateway ended with ${end.code ?? end.signal}\n${this.log}`);
    }
  }
}
