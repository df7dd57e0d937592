// Nothing that strangers send ends, disturbs or stops anything.

import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import {once} from 'node:events';
import net from 'node:net';
import {after, before, test} from 'node:test';

import {Page, launch} from './lib/browser.mjs';
import {Gateway} from './lib/gateway.mjs';
import {untilPlaying} from './lib/media.mjs';
import {ProxyRow, seededRandom} from './lib/udp_proxy.mjs';
import {until, within} from './lib/until.mjs';

let gateway;
let browser;
let proxies;
let doctor;
let offer;
const captured = {srtp: [], srtcp: [], dtls: [], stun: []};

// RFC 7983, 7 tells the protocols by their first byte; RFC 5761, 4 RTCP from RTP by the second.
function kindOf(packet) {
  if (packet[0] < 4) return 'stun';
  if (packet[0] >= 20 && packet[0] < 64) return 'dtls';
  return packet[1] >= 192 && packet[1] < 224 ? 'srtcp' : 'srtp';
}

before(async () => {
  gateway = await Gateway.start();
  browser = await launch();
  proxies = await ProxyRow.start(gateway.media);
  // What the room really sent is the best material for an attacker.
  proxies.observe((direction, packet) => {
    const list = captured[kindOf(packet)];
    if (direction === 'up' && list.length < 50) list.push(Buffer.from(packet));
  });
  const route = {ports: proxies.ports, transport: 'udp'};
  const room = await Page.open(browser, gateway.url);
  doctor = await Page.open(browser, gateway.url);
  ({offer} = await room.publish({feed: 'room-1/patient', codec: 'VP8', route}));
  await doctor.play({participant: 'dr-1', feeds: ['room-1/patient'], route});
  await untilPlaying(doctor);
  await until('something of each kind', () => Object.values(captured).every((l) => l.length > 0));
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
  proxies?.close();
});

async function callGoesOn() {
  await untilPlaying(doctor, {frames: 60});
  assert.equal(await doctor.state('player'), 'connected');
}

const random = seededRandom(99);
const below = (n) => Math.floor(random() * n);
const noise = (size) => Buffer.from(Array.from({length: size}, () => below(256)));

// Damaged forms of a real packet.
function* damaged(packet) {
  for (const size of [1, 2, 4, 11, 12, 13, 20, packet.length >> 1, packet.length - 1]) {
    yield packet.subarray(0, Math.max(0, size));
  }
  for (let n = 0; n < 8; ++n) {
    const copy = Buffer.from(packet);
    copy[below(copy.length)] ^= 1 << below(8);
    yield copy;
  }
  yield Buffer.concat([packet, noise(8)]);
}

function* hostileDatagrams() {
  for (let n = 0; n < 300; ++n) yield noise(below(1500));
  yield Buffer.alloc(0);
  yield Buffer.alloc(65_000, 0x80);
  for (const [firstByte, size] of [[0, 20], [22, 13], [0x80, 12], [0x81, 1400], [0xff, 3]]) {
    yield Buffer.concat([Buffer.from([firstByte]), noise(size)]);
  }
  yield* clientHellos();
  // Bare RTCP: a goodbye, and a sender report that claims 31 blocks and has none.
  yield Buffer.from('80cb000112345678', 'hex').subarray(0, 8);
  yield Buffer.from('9fc8000600000000' + '00'.repeat(20), 'hex');
}

// A well-formed DTLS 1.2 ClientHello of a stranger, whole and in two fragments.
function* clientHellos() {
  const body = Buffer.concat([
    Buffer.from('fefd', 'hex'), noise(32), Buffer.from('00' + '00' + '0002c02b' + '0100', 'hex')]);
  const record = (from, to) => {
    const fragment = body.subarray(from, to);
    const head = Buffer.alloc(12);
    head[0] = 1;
    head.writeUIntBE(body.length, 1, 3);
    head.writeUIntBE(from, 6, 3);
    head.writeUIntBE(fragment.length, 9, 3);
    const layer = Buffer.from('16feff' + '0000' + '000000000000' + '0000', 'hex');
    layer.writeUInt16BE(head.length + fragment.length, 11);
    return Buffer.concat([layer, head, fragment]);
  };
  yield record(0, body.length);
  yield record(0, 20);
  yield record(20, body.length);
}

test('a stranger\'s datagrams change nothing', {timeout: 90_000}, async (t) => {
  const socket = dgram.createSocket('udp4');
  t.after(() => socket.close());
  const send = (packet, port) => new Promise((resolve) => {
    socket.send(packet, port, '127.0.0.1', resolve);
  });
  let replies = 0;
  socket.on('message', () => ++replies);
  for (const {port} of gateway.media) {
    for (const packet of hostileDatagrams()) await send(packet, port);
    for (const packet of [...captured.srtp, ...captured.srtcp, ...captured.dtls]) {
      await send(packet, port);
      for (const form of damaged(packet)) await send(form, port);
    }
    for (const packet of captured.stun) {
      for (const form of damaged(packet)) await send(form, port);
    }
  }
  await callGoesOn();
  assert.equal(replies, 0, 'whoever is not known gets no answer');
});

test('datagrams on the call\'s own path change nothing', {timeout: 90_000}, async () => {
  for (const packet of hostileDatagrams()) proxies.inject(packet.subarray(0, 1500));
  for (const packet of Object.values(captured).flat()) {
    for (const form of damaged(packet)) proxies.inject(form);
  }
  // Replays, a repeated hello of the very same client among them.
  for (const packet of Object.values(captured).flat()) proxies.inject(packet);
  await callGoesOn();
});

test('strangers on the TCP port change nothing', {timeout: 90_000}, async () => {
  const sockets = [];
  for (let n = 0; n < 64; ++n) {
    const socket = net.connect(gateway.media[n % gateway.media.length].port, '127.0.0.1');
    socket.on('error', () => {});
    sockets.push(socket);
    // Noise, a frame that never ends, an empty frame, a frame of garbage (RFC 4571, 2).
    socket.write([noise(200), Buffer.from('ffff00', 'hex'), Buffer.from('0000', 'hex'),
                  Buffer.concat([Buffer.from('0010', 'hex'), noise(16)])][n % 4]);
  }
  await callGoesOn();
  for (const socket of sockets) socket.destroy();
  await callGoesOn();
});

test('a bad offer gets a 4xx that says why', {timeout: 90_000}, async () => {
  const lines = offer.split('\r\n');
  const without = (pattern) => lines.filter((line) => !pattern.test(line)).join('\r\n');
  const section = offer.slice(offer.indexOf('m='));
  const offers = {
    'nothing': '',
    'no SDP': 'hello',
    'bytes': noise(2000),
    'only a version': 'v=0\r\n',
    'no fingerprint': without(/^a=fingerprint/),
    'no ICE credentials': without(/^a=ice-/),
    'no m-line': offer.slice(0, offer.indexOf('m=')),
    'far too many m-lines': offer + section.repeat(300),
    'a line without an end': `${offer}a=x:${'y'.repeat(100_000)}`,
    'a megabyte': `${offer}${'a=x:y\r\n'.repeat(150_000)}`,
  };
  for (const [what, sdp] of Object.entries(offers)) {
    for (const path of ['/whip/room-7/patient', '/whep/dr-7?feeds=room-1/patient']) {
      const response = await gateway.offer(path, sdp);
      const why = await response.text();
      assert.ok(response.status >= 400 && response.status < 500, `${what}: ${response.status}`);
      assert.ok(why.trim().length > 5, `${what}: a reason, not ${JSON.stringify(why)}`);
    }
  }
  await callGoesOn();
});

test('an offer cut anywhere never makes a 5xx', {timeout: 90_000}, async () => {
  for (let n = 0; n < 60; ++n) {
    const cut = offer.slice(0, below(offer.length));
    // Some cuts can be answered; one participant would then be at its limit of connections.
    const response = await gateway.offer(`/whip/room-8-${n}/patient`, cut);
    await response.arrayBuffer();
    assert.ok(response.status < 500, String(response.status));
  }
  await callGoesOn();
});

test('wrong types and names are told apart', {timeout: 90_000}, async () => {
  const type = await gateway.offer('/whip/room-7/patient', offer, {'Content-Type': 'text/plain'});
  assert.equal(type.status, 415);
  for (const path of ['/whip/room%207/patient', '/whip/ROOM/patient', '/whip/room-7',
                      '/whep/a%2fb/c/d']) {
    const name = await gateway.offer(path, offer);
    assert.equal(name.status, 404, path);
  }
  for (const path of ['/../../CMakeLists.txt', '/%2e%2e/%2e%2e/CMakeLists.txt',
                      '/..%2f..%2fCMakeLists.txt', '//etc/passwd', '/no-such-file.js', '?x',
                      '/%00.js', '/index.html%00.js', '*', 'index.html']) {
    const reply = await rawRequest(
      `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    assert.match(reply, /^HTTP\/1\.1 40[034] /, path);
  }
  await callGoesOn();
});

test('it ends in good order with requests under way', {timeout: 90_000}, async () => {
  const other = await Gateway.start();
  let ended = false;
  let answered = 0;
  const caller = async () => {
    while (!ended) {
      try {
        await other.stats();
        ++answered;
      } catch {
        return;  // It is gone.
      }
    }
  };
  const callers = Array.from({length: 100}, caller);
  await until('answers', () => answered > 300);
  await other.stop();  // Insists on exit 0 and a log without a sanitizer's report.
  ended = true;
  await Promise.all(callers);
});

test('without a login only this machine is served', {timeout: 90_000}, async () => {
  const reply = await rawRequest(
    'GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n');
  assert.match(reply, /^HTTP\/1\.1 421 /, 'a name that was made to point here');
});

// Sends bytes to the HTTP port as they are; returns what came until the gateway closed.
async function rawRequest(bytes) {
  const socket = net.connect(Number(new URL(gateway.url).port), '127.0.0.1');
  let reply = '';
  socket.setEncoding('latin1').on('data', (text) => { reply += text; });
  socket.on('error', () => {});
  socket.end(bytes);
  await within(20_000, 'the end of a connection', once(socket, 'close'));
  return reply;
}

test('what is not HTTP ends only its own connection', {timeout: 90_000}, async () => {
  for (const bytes of [noise(500), 'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
                       `GET /${'a'.repeat(100_000)} HTTP/1.1\r\n\r\n`,
                       'POST /whip/room-7/patient HTTP/1.1\r\nHost: x\r\n' +
                       'Content-Length: 99999999999\r\nContent-Type: application/sdp\r\n\r\nv=0']) {
    assert.doesNotMatch(await rawRequest(bytes), /^HTTP\/1\.1 [25]/);
  }
  await callGoesOn();
});
