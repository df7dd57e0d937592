// HTTP as it is on the wire: nothing followed, repeated or hidden, as fetch() would.

import {readFileSync} from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import {once} from 'node:events';
import {fileURLToPath} from 'node:url';

import {within} from './until.mjs';

const FIXTURES = fileURLToPath(new URL('../../fixtures/', import.meta.url));

// A captured offer, "chromium-publish".
export function offerOf(name) {
  return readFileSync(`${FIXTURES}sdp/${name}.sdp`, 'utf8');
}

export const bearer = (token) => (token ? {Authorization: `Bearer ${token}`} : {});

// Sends one request and returns {status, headers, body}; `headers` has lists of values by name in
// lower case. `options` are those of node:http, and `body`.
export async function exchange(url, {body = '', ...options} = {}) {
  const {request} = new URL(url).protocol === 'https:' ? https : http;
  const sent = request(url, options);
  const response = once(sent, 'response');
  sent.end(body);
  const [answer] = await within(20_000, `an answer to ${options.method ?? 'GET'} ${url}`, response);
  let text = '';
  for await (const part of answer.setEncoding('utf8')) text += part;
  return {status: answer.statusCode, headers: answer.headersDistinct, body: text};
}

// Calls a unary method of vigil.v1; returns {status, headers, reply}.
export async function call(url, method, message = {}, headers = {}) {
  const answer = await exchange(`${url}/vigil.v1.${method}`, {
    method: 'POST', body: JSON.stringify(message),
    headers: {'Content-Type': 'application/json', ...headers}});
  return {...answer, reply: answer.body ? JSON.parse(answer.body) : {}};
}

// Sends bytes as they are; returns all that comes until the gateway closes.
export async function rawExchange(url, bytes) {
  const socket = net.connect(Number(new URL(url).port), '127.0.0.1');
  let reply = '';
  socket.setEncoding('latin1').on('data', (text) => { reply += text; });
  socket.on('error', () => {});
  socket.write(bytes);
  await within(20_000, 'the end of a connection', once(socket, 'close'));
  return reply;
}

// Server-Sent Events (HTML standard, 9.2), read as they come: each {id, event, message}.
export class EventReader {
  events = [];
  ended = false;
  #request;

  static async open(url, {headers = {}, ...options} = {}) {
    const reader = new EventReader();
    const {request} = new URL(url).protocol === 'https:' ? https : http;
    reader.#request = request(url, {headers, agent: false, ...options});
    const response = once(reader.#request, 'response');
    reader.#request.end();
    [reader.response] = await within(20_000, `the head of ${url}`, response);
    reader.status = reader.response.statusCode;
    reader.#request.on('error', () => {});
    reader.response.on('error', () => {}).on('close', () => { reader.ended = true; });
    reader.#read();
    return reader;
  }

  #read() {
    let rest = '';
    this.response.setEncoding('utf8').on('data', (text) => {
      const blocks = (rest + text).split('\n\n');
      rest = blocks.pop();
      for (const block of blocks) this.events.push(parseEvent(block));
    });
  }

  // What each event was: "snapshot", "peerOpened", "heartbeat", ...
  kinds() { return this.events.map(({message}) => kindOf(message)); }
  close() { this.#request.destroy(); }
}

function parseEvent(block) {
  const fields = Object.fromEntries(block.split('\n').map((line) => {
    const colon = line.indexOf(': ');
    return [line.slice(0, colon), line.slice(colon + 2)];
  }));
  return {id: fields.id, event: fields.event ?? 'message', message: JSON.parse(fields.data)};
}

// What a message of WatchMedia is about, changes by their own name.
export function kindOf(message) {
  const names = Object.keys(message.event ?? message);
  return names.find((name) => !['sequence', 'resumeToken', 'site', 'time'].includes(name));
}
