// Runs aiortc_client.py and reads the JSON lines it prints.

import {spawn} from 'node:child_process';
import {once} from 'node:events';
import readline from 'node:readline';
import {fileURLToPath} from 'node:url';

import {until, within} from './until.mjs';

const SCRIPT = fileURLToPath(new URL('../aiortc_client.py', import.meta.url));

export class AiortcClient {
  events = [];
  #process;
  #exited;
  #errors = '';

  // Debian's interpreter, because Debian's packages are not seen by another one.
  constructor(...args) {
    this.#process = spawn('/usr/bin/python3', [SCRIPT, ...args]);
    this.#exited = once(this.#process, 'exit');
    this.#process.stderr.setEncoding('utf8').on('data', (text) => { this.#errors += text; });
    readline.createInterface({input: this.#process.stdout}).on('line', (line) => {
      this.events.push(JSON.parse(line));
    });
  }

  // The newest event of that name for which `condition` holds, waited for.
  async event(name, condition = () => true, options) {
    try {
      return await until(`aiortc: ${name}`, () => this.events.findLast(
        (event) => event.event === name && condition(event)), options);
    } catch (error) {
      const last = JSON.stringify(this.events.slice(-3));
      throw new Error(`${error.message}\nlast events: ${last}\n${this.#errors}`);
    }
  }

  // Lets the client DELETE its resource and end. Throws unless it ends well.
  async stop() {
    if (this.#process.exitCode === null) this.#process.stdin.end();
    try {
      const [code] = await within(20_000, 'the end of the aiortc client', this.#exited);
      if (code !== 0) throw new Error(`aiortc_client.py ended with ${code}\n${this.#errors}`);
    } finally {
      this.#process.kill('SIGKILL');
    }
  }
}
