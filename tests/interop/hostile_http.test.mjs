// Clients of the HTTP port that are slow, greedy or mad hurt nobody else.

import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import net from 'node:net';
import {after, before, test} from 'node:test';

import {Gateway} from './lib/gateway.mjs';
import {EventReader, bearer, call, exchange, offerOf, rawExchange} from './lib/http.mjs';
import {MediaLoad} from './lib/media_load.mjs';
import {Issuer} from './lib/tokens.mjs';
import {until} from './lib/until.mjs';

const SDP = {'Content-Type': 'application/sdp'};
const PUBLISH = offerOf('chromium-publish');
// What all of this may cost, of which most is the sanitizer's: far from 10,000 times a buffer.
const MEMORY_MIB = 300;
const CONNECTIONS = 4_096;   // As in HttpServerOptions.
const OF_ADDRESS = 2_048;
const STREAMS_OF_CALLER = 1_100;
const METRICS_CONNECTIONS = 64;  // As in MetricsServer.
const NEWS = 5;              // For each of them.

let issuer;
let gateway;
let media;   // Rooms that go on all the time.
let atRest;
let normal;  // Headers of somebody who means well.
let greedy;  // Of somebody whose token is good, too.

function residentMib() {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${gateway.pid}/status`, 'utf8'));
  return Number(kib) / 1024;
}

before(async () => {
  issuer = new Issuer();
  normal = bearer(issuer.token({sub: 'dr-1', grants: {
    sites: ['north'], roles: ['controller', 'operator']}}));
  greedy = bearer(issuer.token({sub: 'dr-2'}));
  gateway = await Gateway.start({env: {
    ...issuer.env,
    // What is freed is to be reused as in the real thing.
    ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:quarantine_size_mb=8`}});
  media = await MediaLoad.start(gateway, {token: issuer.token({sub: 'desk', grants: {
    sites: ['north'], roles: ['controller']}})});
  for (let n = 0; n < 20; ++n) await normalCall();
  atRest = residentMib();
});
after(async () => {
  media?.end();
  await gateway?.stop();
  issuer?.remove();
});

// What somebody else wants meanwhile, each by a connection of its own: it has to be answered.
async function normalCall() {
  const page = await exchange(`${gateway.url}/`, {agent: false});
  assert.equal(page.status, 200);
  const node = await call(gateway.url, 'NodeService/GetNode', {}, normal);
  assert.equal(node.status, 200);
}

function checkMemory() {
  const grown = residentMib() - atRest;
  assert.ok(grown < MEMORY_MIB, `${Math.round(grown)} MiB more than at rest`);
}

// Many connections from some addresses of the loopback network. They read nothing unless told to.
class Crowd {
  sockets = [];
  connected = 0;
  closed = 0;
  heads = [];  // The first line of what each got.

  // `say(socket, n)` is called when the n-th is connected. Some hundreds at a time, so that none
  // waits in a queue that is full.
  async grow(count, say,
             {addresses = ['127.0.0.1'], listen = false, url = gateway.url} = {}) {
    for (let n = 0; n < count; n += 250) {
      const size = Math.min(250, count - n);
      const settled = this.connected + this.closed + size;
      for (let i = 0; i < size; ++i) this.#add(n + i, say, addresses, listen, url);
      await until('connections', () => this.connected + this.closed >= settled);
    }
  }
  #add(n, say, addresses, listen, url) {
    const socket = net.connect({port: Number(new URL(url).port), host: '127.0.0.1',
                                localAddress: addresses[n % addresses.length]});
    let isOpen = false;
    socket.on('connect', () => {
      isOpen = true;
      ++this.connected;
      say(socket, n);
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      if (isOpen) --this.connected;
      ++this.closed;
    });
    if (listen) {
      socket.once('data', (bytes) => {
        this.heads.push(bytes.toString('latin1').split('\r\n', 1)[0]);
        socket.pause();  // And no more.
      });
    } else {
      socket.resume();
    }
    this.sockets.push(socket);
  }
  leave() { for (const socket of this.sockets) socket.destroy(); }
}

test('thousands who say one byte a second', {timeout: 60_000}, async (t) => {
  const crowd = new Crowd();
  t.after(() => crowd.leave());
  const request = `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'y'.repeat(1_000)}`;
  await crowd.grow(3_000, (socket) => {
    let said = 0;
    const timer = setInterval(() => socket.write(request[said++]), 1_000);
    socket.on('close', () => clearInterval(timer));
  });
  for (let n = 0; n < 20; ++n) await normalCall();
  // They keep no more than an address may have; and in the end nothing.
  assert.ok(crowd.connected <= OF_ADDRESS + 250, String(crowd.connected));
  checkMemory();
  await until('their end', () => crowd.connected === 0, {withinMs: 30_000});
  await normalCall();
});

test('half requests from everywhere', {timeout: 60_000}, async (t) => {
  const crowd = new Crowd();
  t.after(() => crowd.leave());
  const halves = [
    '', 'P', 'POST /whip/room-1/patient HTTP/1.1\r\n',
    'POST /whip/room-1/patient HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\nv=0',
    'POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nabc',
    `GET /?${'q'.repeat(4_000)}`,
  ];
  await crowd.grow(6_000, (socket, n) => socket.write(halves[n % halves.length]),
                   {addresses: ['127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5']});
  for (let n = 0; n < 20; ++n) await normalCall();
  assert.ok(crowd.connected <= CONNECTIONS + 250, String(crowd.connected));
  checkMemory();
  crowd.leave();
  await normalCall();
});

test('10,000 streams that are opened and never read', {timeout: 120_000}, async (t) => {
  const crowd = new Crowd();
  t.after(() => crowd.leave());
  const own = await EventReader.open(`${gateway.url}/v1/events/media`, {headers: normal});
  t.after(() => own.close());
  await crowd.grow(10_000, (socket, n) => socket.write(
    'GET /v1/events/media HTTP/1.1\r\nHost: localhost\r\n' +
    `Authorization: ${greedy.Authorization}\r\nX: ${n}\r\n\r\n`),
    {addresses: ['127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5'], listen: true});
  await until('streams', () =>
    crowd.heads.filter((head) => head.includes(' 200 ')).length >= STREAMS_OF_CALLER);
  const given = crowd.heads.filter((head) => head.includes(' 200 ')).length;
  assert.ok(given <= STREAMS_OF_CALLER, `${given} streams`);
  assert.ok(crowd.heads.some((head) => head.includes(' 429 ')), 'the others are told');
  // What happens now is for each of them; who reads gets it, and calls are answered.
  for (let n = 0; n < NEWS; ++n) {
    const made = await exchange(`${gateway.url}/whip/flood-${n}/patient`,
                                {method: 'POST', headers: {...SDP, ...normal}, body: PUBLISH});
    assert.equal(made.status, 201, made.body);
    await normalCall();
  }
  await until('the news', () =>
    own.kinds().filter((kind) => kind === 'feedPublished').length === NEWS);
  checkMemory();
  crowd.leave();
  // Their places are free again.
  await until('another stream', async () => {
    const events = await EventReader.open(`${gateway.url}/v1/events/media`, {headers: greedy});
    events.close();
    return events.status === 200;
  });
});

test('a thousand requests in one write are answered in order', {timeout: 60_000}, async () => {
  const requests = Array.from({length: 1_000}, (_, n) =>
    `GET /no-such-file-${n} HTTP/1.1\r\nHost: localhost\r\n\r\n` +
    `OPTIONS /whep/dr-${n} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  const reply = await rawExchange(gateway.url, `${requests.join('')}GET / HTTP/1.1\r\n` +
    'Host: localhost\r\nConnection: close\r\n\r\n');
  const statuses = [...reply.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => status);
  assert.equal(statuses.length, 2_001);
  statuses.slice(0, -1).forEach((status, n) => assert.equal(status, n % 2 ? '200' : '404'));
  assert.equal(statuses.at(-1), '200');
  checkMemory();
});

test('an answer given early is not lost', {timeout: 60_000}, async () => {
  const big = 'a=x:y\r\n'.repeat(1_500_000);
  for (let n = 0; n < 10; ++n) {
    const reply = await rawExchange(gateway.url, 'POST /whip/room-1/patient HTTP/1.1\r\n' +
      `Host: localhost\r\nContent-Type: application/sdp\r\nContent-Length: ${big.length}\r\n\r\n` +
      big);
    assert.match(reply, /^HTTP\/1\.1 413 [^]*longer than 262144 bytes/);
  }
  checkMemory();
});

test('heads without end or measure', {timeout: 60_000}, async () => {
  const head = 'GET / HTTP/1.1\r\nHost: localhost\r\n';
  for (const [bytes, status] of [
    [`${head}X: ${'y'.repeat(5_000_000)}\r\n\r\n`, 431],
    [`${head}${'X: y\r\n'.repeat(500_000)}\r\n`, 431],
    [`GET /${'a'.repeat(5_000_000)} HTTP/1.1\r\n\r\n`, 431],
    ['\r\n'.repeat(2_000_000), 4],
    [`${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
    [`${head}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde`, 400],
    [`${head}Content-Length: 1e3\r\n\r\n`, 400],
    [`${head}Transfer-Encoding: chunked\r\n\r\n5;${'a'.repeat(5_000_000)}`, 400],
    [`${head}Transfer-Encoding: chunked\r\n\r\n0\r\n${'X: y\r\n'.repeat(500_000)}`, 400],
    ['GET / HTTP/1.1\r\n\r\n', 400],
    [`${head}Host: other\r\n\r\n`, 400],
    ['GET / HTTP/9.9\r\nHost: localhost\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: localhost\r\nX\0: y\r\n\r\n', 400],
    ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
  ]) {
    const reply = await rawExchange(gateway.url, bytes);
    assert.ok(reply.startsWith(`HTTP/1.1 ${status}`),
              `${bytes.slice(0, 60)}: ${reply.slice(0, 40)}`);
  }
  checkMemory();
  await normalCall();
});

test('what is no coding of ours hides no second request', async () => {
  for (const coding of ['xchunked', 'chunked, identity', 'gzip, chunked', 'identity',
                        'chunked\r\nTransfer-Encoding: chunked']) {
    const reply = await rawExchange(
      gateway.url, 'POST /whip/room-1/patient HTTP/1.1\r\nHost: localhost\r\n' +
      `Transfer-Encoding: ${coding}\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    assert.match(reply.match(/^HTTP\/1\.1 \d+/gm).join(), /^HTTP\/1\.1 (400|501)$/, coding);
  }
});

test('a HEAD is told how long the answer is', async () => {
  const head = (method) => `${method} / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;
  const lengthOf = (reply) => Number(/^content-length: (\d+)\r$/im.exec(reply)[1]);
  const got = await rawExchange(gateway.url, head('GET'));
  const told = await rawExchange(gateway.url, head('HEAD'));
  assert.ok(lengthOf(got) > 100);
  assert.equal(lengthOf(told), lengthOf(got));
  assert.ok(told.endsWith('\r\n\r\n'));
});

test('who asks for much and reads nothing does not close a port', {timeout: 60_000}, async (t) => {
  // The one for probes: its bound is small, and what it is asked for is large.
  const crowd = new Crowd();
  t.after(() => crowd.leave());
  const much = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(100);
  await crowd.grow(2 * METRICS_CONNECTIONS, (socket) => {
    socket.pause();
    socket.write(much);
  }, {addresses: ['127.0.0.2', '127.0.0.3', '127.0.0.4'], url: gateway.metrics});
  // Whoever comes now is served as soon as the first of them has not read for a while.
  const live = () => exchange(`${gateway.metrics}/livez`, {agent: false}).then(
    ({status}) => status === 200, () => false);
  // Before that, the first ones may find a place that nobody had taken yet, and the next none.
  await until('twenty probes in a row are answered', async () => {
    for (let n = 0; n < 20; ++n) if (!await live()) return false;
    return true;
  });
});

test('only hosts that cannot be anybody else\'s are this machine', async (t) => {
  const open = await Gateway.start();
  t.after(() => open.stop());
  const statusFor = async (host) => {
    const {status} = await exchange(`${open.url}/`, {headers: {Host: host}});
    return status;
  };
  for (const host of ['localhost', 'localhost:8080', '127.0.0.1', '127.9.9.9:1', '[::1]',
                      '[::1]:80', 'LOCALHOST']) {
    assert.equal(await statusFor(host), 200, host);
  }
  for (const host of ['127.0.0.1.evil.example', '127.evil.example:8080', 'localhost.evil.example',
                      'evil.example', '[::2]', '128.0.0.1', 'evil.example:127.0.0.1']) {
    assert.equal(await statusFor(host), 421, host);
  }
});

test('after all of it memory is what it was, about', async () => {
  for (let n = 0; n < 20; ++n) await normalCall();
  checkMemory();
});

test('media went on all the time', async () => {
  const {sent, received} = await media.stop();
  assert.equal(received, sent);
  assert.ok(sent > 1_000);
});
