// Runs the built vigilctl.

import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

import {until, within} from './until.mjs';

const FIXTURES = fileURLToPath(new URL('../../fixtures/sdp/', import.meta.url));
// Offers without a client behind them.
export const PUBLISH = fs.readFileSync(`${FIXTURES}chromium-publish.sdp`, 'utf8');
export const PLAY = fs.readFileSync(`${FIXTURES}chromium-play.sdp`, 'utf8');

const DISASTER = /ERROR: \w+Sanitizer|runtime error:|VIGIL_CHECK failed/;

function start(args, env) {
  const binary = process.env.VIGILCTL;
  if (!binary) throw new Error('VIGILCTL must name the vigilctl binary');
  return spawn(binary, args, {stdio: ['ignore', 'pipe', 'pipe'], env: {...process.env, ...env}});
}

// A vigilctl that goes on until it is stopped.
export class RunningCtl {
  out = '';
  err = '';
  #process;
  #exited;

  constructor(args, {env = {}} = {}) {
    this.#process = start(args, env);
    this.#exited = once(this.#process, 'close');
    this.#process.stdout.setEncoding('utf8').on('data', (text) => { this.out += text; });
    this.#process.stderr.setEncoding('utf8').on('data', (text) => { this.err += text; });
  }

  lines() { return this.out.split('\n').slice(0, -1); }

  // The first line, from the `from`th on, that matches.
  line(pattern, from = 0) {
    return until(`a line ${pattern}\n${this.err}`,
                 () => this.lines().slice(from).find((line) => pattern.test(line)));
  }

  // {code, signal, out, err} when it has ended by itself.
  async end(withinMs = 60_000) {
    let code;
    let signal;
    try {
      [code, signal] = await within(withinMs, 'the end of vigilctl', this.#exited);
    } catch (error) {
      this.#process.kill('SIGKILL');
      throw new Error(`${error.message}\n${this.out}\n${this.err}`);
    }
    if (DISASTER.test(this.err)) throw new Error(this.err);
    return {code, signal, out: this.out, err: this.err};
  }

  stop(signal = 'SIGINT') {
    this.#process.kill(signal);
    return this.end();
  }
}

// Runs it to its end: {code, out, err}.
export function ctl(args, options) {
  return new RunningCtl(args, options).end();
}

// The objects of --json.
export function objects(text) {
  return text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line));
}

export class TemporaryFolder {
  path = fs.mkdtempSync(path.join(os.tmpdir(), 'vigilctl-'));

  remove() { fs.rmSync(this.path, {recursive: true}); }
}

// Carries TCP connections to a port of this machine, until it is blocked.
export class TcpRoad {
  port;
  #server;
  #sockets = new Set();
  #blocked = false;

  static async start(to) {
    const road = new TcpRoad();
    road.#server = net.createServer((near) => road.#carry(near, to)).listen(0, '127.0.0.1');
    await once(road.#server, 'listening');
    road.port = road.#server.address().port;
    return road;
  }

  #carry(near, to) {
    if (this.#blocked) return void near.destroy();
    const far = net.connect(to, '127.0.0.1');
    near.pipe(far).pipe(near);
    for (const [one, other] of [[near, far], [far, near]]) {
      this.#sockets.add(one);
      one.on('error', () => {}).on('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
  }

  // Cuts what is under way.
  async block() {
    this.#blocked = true;
    const ends = [...this.#sockets].map((socket) => once(socket, 'close'));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(ends);
  }

  unblock() { this.#blocked = false; }

  async close() {
    await this.block();
    this.#server.close();
  }
}

// A port of the loopback interface on which nobody listens.
export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const {port} = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

// Makes a connection and returns its id.
export async function open(gateway, url, offer, headers) {
  const response = await gateway.offer(url, offer, headers);
  assert.equal(response.status, 201, await response.text());
  return response.headers.get('location').split('/').pop();
}

// Ends with 0; what it printed.
export async function good(args, options) {
  const run = await ctl(args, options);
  assert.equal(run.code, 0, `${args.join(' ')}: ${run.out}${run.err}`);
  return run.out;
}

// Fails with `code` and says `pattern` on stderr.
export async function bad(args, code, pattern, options) {
  const run = await ctl(args, options);
  assert.equal(run.code, code, `${args.join(' ')}: ${run.out}${run.err}`);
  assert.match(run.err, pattern);
}
