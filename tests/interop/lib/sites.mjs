// Callers with tokens of sites, what they were answered, and two ways to judge it: made comparable
// with the answers of another run, and searched for what no other site may learn.

import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

import {until, within} from './until.mjs';

const base64url = (text) => Buffer.from(text).toString('base64url');

// Makes tokens that a gateway with auth.keys_dir = `folder` takes.
export class Issuer {
  #key;

  constructor(folder) {
    const {publicKey, privateKey} = crypto.generateKeyPairSync('ec', {namedCurve: 'P-256'});
    fs.writeFileSync(path.join(folder, 'sites-1.pem'),
                     publicKey.export({type: 'spki', format: 'pem'}));
    this.#key = privateKey;
  }

  token({sub, sites, roles, publish = [], subscribe = []}) {
    const claims = {sub, aud: 'vigil', exp: Math.floor(Date.now() / 1000) + 3600,
                    jti: crypto.randomUUID(), vigil: {sites, roles, publish, subscribe}};
    const text = [{alg: 'ES256', typ: 'JWT', kid: 'sites-1'}, claims]
      .map((part) => base64url(JSON.stringify(part))).join('.');
    const signature = crypto.sign('sha256', Buffer.from(text),
                                  {key: this.#key, dsaEncoding: 'ieee-p1363'});
    return `${text}.${signature.toString('base64url')}`;
  }
}

// One token at one gateway.
export class Caller {
  #url;
  #authorization;

  constructor(gateway, token) {
    this.#url = gateway.url;
    this.#authorization = `Bearer ${token}`;
  }

  // Calls a method of MediaService; the answer is {status, headers, body}, whatever it is.
  async call(method, message) {
    const response = await fetch(`${this.#url}/vigil.v1.MediaService/${method}`, {
      method: 'POST', body: JSON.stringify(message),
      headers: {'Content-Type': 'application/json', Authorization: this.#authorization}});
    return {status: response.status, headers: headersOf(response), body: await response.json()};
  }

  // WHIP and WHEP: the answer's body is text.
  async http(method, target, body) {
    const type = method === 'PATCH' ? 'application/trickle-ice-sdpfrag' : 'application/sdp';
    const response = await fetch(this.#url + target, {method, body, headers: {
      Authorization: this.#authorization, ...(body && {'Content-Type': type})}});
    return {status: response.status, headers: headersOf(response), body: await response.text()};
  }

  watch(query = {}, headers = {}) {
    return Watch.open(`${this.#url}/v1/events/media?${new URLSearchParams(query)}`,
                      {Authorization: this.#authorization, ...headers});
  }
}

// When it was and how long it is says nothing that the body does not.
function headersOf(response) {
  const skipped = new Set(['date', 'content-length']);
  return Object.fromEntries([...response.headers].filter(([name]) => !skipped.has(name)));
}

// A watch by Server-Sent Events. What comes is kept in `messages`, heartbeats in `heartbeats`:
// those are about time, not about the site. A refused one has its answer in `refusal`.
export class Watch {
  messages = [];
  heartbeats = [];
  raw = '';
  refusal;
  #abort = new AbortController();
  #ended;

  static async open(url, headers) {
    const watch = new Watch();
    const response = await fetch(url, {headers, signal: watch.#abort.signal});
    if (!response.ok) {
      watch.refusal = {status: response.status, headers: headersOf(response),
                       body: await response.json()};
      return watch;
    }
    watch.#ended = watch.#read(response.body).catch(() => {});  // Ended by close().
    return watch;
  }

  async #read(body) {
    let rest = '';
    for await (const text of body.pipeThrough(new TextDecoderStream())) {
      this.raw += text;
      const blocks = (rest + text).split('\n\n');
      rest = blocks.pop();
      for (const block of blocks) this.#take(block);
    }
  }

  #take(block) {
    const data = /^data: (.*)$/m.exec(block);
    if (!data) return;
    const message = {id: /^id: (.*)$/m.exec(block)?.[1], type: /^event: (.*)$/m.exec(block)?.[1],
                     data: JSON.parse(data[1])};
    (message.data.heartbeat ? this.heartbeats : this.messages).push(message);
  }

  // The messages so far, once one of them is as said.
  async upTo(what, isLast) {
    if (this.refusal) throw new Error(`${what}: ${JSON.stringify(this.refusal)}`);
    await until(what, () => this.messages.some(isLast), {everyMs: 2});
    return this.messages;
  }

  async close() {
    this.#abort.abort();
    if (this.#ended) await within(5_000, 'the end of a watch', this.#ended);
  }
}

// Replaces what is drawn at random by what it is and when it was first seen, so that two runs can
// be compared: "peer#3" is the third connection in both.
export class Normaliser {
  #seen = new Map();
  #counts = new Map();

  apply(value, key = '') {
    if (Array.isArray(value)) return value.map((item) => this.apply(item, key));
    if (value !== null && typeof value === 'object') {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, this.apply(v, k)]));
    }
    if (key === 'ssrc') return this.#name('ssrc', value);
    return typeof value === 'string' ? this.#text(value, key) : value;
  }

  #name(kind, value) {
    const full = `${kind} ${value}`;
    if (!this.#seen.has(full)) {
      this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
      this.#seen.set(full, `${kind}#${this.#counts.get(kind)}`);
    }
    return this.#seen.get(full);
  }

  #text(text, key) {
    if (['etag', 'iceUfrag', 'icePwd'].includes(key)) return this.#name('ice', text);
    if (['resumeToken', 'id'].includes(key)) return this.#place(text);
    // The wall clock of an instant may be told some nanoseconds apart each time.
    if (/time$/i.test(key)) return 'TIME';
    if (key === 'sdpAnswer') return this.#sdp(text);
    // An error detail as protobuf, whose map has no order. As JSON it is beside it.
    if (key === 'value') return text.length;
    return text.replace(/[0-9a-f]{32}/g, (id) => this.#name('peer', id));
  }

  // A place in a watch names the run and the sites by numbers that are drawn anew in each run; the
  // counts behind them must be the same.
  #place(token) {
    const [boot, sites, ...counts] = Buffer.from(token, 'base64url').toString().split('.');
    return [this.#name('boot', boot), this.#name('sites', sites), ...counts].join('.');
  }

  // A port is the worker's. Which worker a connection gets depends on the load of all sites.
  #sdp(text) {
    return text
      .replace(/^(o=- )(\d+)/m, (all, head, id) => head + this.#name('session', id))
      .replace(/^(a=ice-(?:ufrag|pwd):)(.*)$/gm, (all, head, id) => head + this.#name('ice', id))
      .replace(/^(a=fingerprint:sha-256 ).*$/gm, '$1...')
      .replace(/^(a=candidate:\S+ \S+ \S+ \S+ \S+ )\d+/gm, '$1PORT')
      .replace(/^(a=ssrc:)(\d+)/gm, (all, head, id) => head + this.#name('ssrc', id))
      .replace(/^(a=ssrc-group:FID )(\d+) (\d+)/gm, (all, head, first, second) =>
        `${head}${this.#name('ssrc', first)} ${this.#name('ssrc', second)}`)
      .replace(/( cname:)(\S+)/g, (all, head, id) => head + this.#name('cname', id));
  }
}

// A text with what its base64 words say: page tokens, resume tokens and error details are such.
export function withDecoded(text) {
  const words = text.match(/[A-Za-z0-9+/_-]{8,}={0,2}/g) ?? [];
  return [text, ...words.map((word) => Buffer.from(word, 'base64').toString('latin1'))].join('\n');
}

// Which of the secrets an answer holds. What the caller itself wrote may be repeated to it.
export function leaksIn({request, answer}, secrets) {
  const asked = withDecoded(JSON.stringify(request));
  const told = withDecoded(JSON.stringify(answer));
  return [...secrets].filter((secret) => told.includes(secret) && !asked.includes(secret));
}
