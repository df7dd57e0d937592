// HTTPS: certificates come from files and are replaced while everything runs.

import assert from 'node:assert/strict';
import {once} from 'node:events';
import https from 'node:https';
import net from 'node:net';
import {after, before, test} from 'node:test';
import tls from 'node:tls';

import {Authority} from './lib/authority.mjs';
import {Gateway} from './lib/gateway.mjs';
import {EventReader, call, exchange, offerOf, rawExchange} from './lib/http.mjs';
import {until, within} from './lib/until.mjs';

const PUBLISH = offerOf('chromium-publish');
const SDP = {'Content-Type': 'application/sdp'};

let authority;
let gateway;
let current;  // What the gateway is given now.

before(async () => {
  authority = new Authority();
  current = authority.issue();
  authority.install(current);
  gateway = await Gateway.start({env: {
    VIGIL_TLS_CERTIFICATE: authority.files.certificate, VIGIL_TLS_KEY: authority.files.key}});
});

after(async () => {
  await gateway?.stop();
  authority?.remove();
});

const trusting = (options = {}) => ({ca: authority.certificate, agent: false, ...options});
const get = (options) => exchange(`${gateway.url}/`, trusting(options));
const publish = (participant) => exchange(`${gateway.url}/whip/${participant}/patient`, trusting(
  {method: 'POST', headers: SDP, body: PUBLISH}));

// The serial number of the certificate that a new connection is shown, to HTTPS unless said.
async function shown(port = new URL(gateway.url).port, options = {}) {
  const socket = tls.connect({port, host: '127.0.0.1', ca: authority.certificate, ...options});
  await within(20_000, 'a handshake', once(socket, 'secureConnect'));
  const {serialNumber} = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

const shownByGrpc = () => shown(gateway.grpc.split(':').at(-1), {ALPNProtocols: ['h2']});
const count = (text) => gateway.log.split(text).length - 1;
const refusals = () => count('certificate not read');

test('HTTPS is all that the port speaks, of TLS 1.2 and 1.3', async () => {
  assert.equal((await get()).status, 200);
  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    assert.equal((await get({minVersion: version, maxVersion: version})).status, 200, version);
  }
  await assert.rejects(get({maxVersion: 'TLSv1.1', minVersion: 'TLSv1',
                            ciphers: 'DEFAULT@SECLEVEL=0'}));
  await assert.rejects(exchange(`${gateway.url}/`, {agent: false}), /certificate/);
  const plain = await rawExchange(gateway.url, 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  assert.doesNotMatch(plain, /HTTP\/1\.1 200/);
});

test('a WHIP session is made and ended by HTTPS', async () => {
  const made = await publish('secure');
  assert.equal(made.status, 201);
  const ended = await exchange(gateway.url + made.headers.location[0],
                               trusting({method: 'DELETE'}));
  assert.equal(ended.status, 200);
});

// Calls again and again until stop(); each call has to be answered.
class Caller {
  answered = 0;
  #stopped = false;
  #running;

  constructor(options) { this.#running = this.#run(options); }
  async #run(options) {
    while (!this.#stopped) {
      const {status} = await get(options);
      assert.equal(status, 200);
      ++this.answered;
    }
  }
  // Throws what a call threw.
  stop() {
    this.#stopped = true;
    return this.#running;
  }
}

test('certificates are replaced under load: no stream and no request is lost', {timeout: 60_000},
     async () => {
  const keepAlive = new https.Agent({keepAlive: true, maxSockets: 1});
  const events = await EventReader.open(`${gateway.url}/v1/events/media`, trusting());
  assert.equal(events.status, 200);
  // One makes a connection for each call, the other holds on to one.
  const callers = [new Caller(), new Caller({agent: keepAlive})];
  for (let round = 1; round <= 3; ++round) {
    current = authority.issue();
    authority.install(current);
    await until('the new certificate', async () => (await shown()) === current.serial);
    await until('the same for gRPC', async () => (await shownByGrpc()) === current.serial);
    // The stream of before carries what happens after.
    const seen = events.events.length;
    assert.equal((await publish(`round-${round}`)).status, 201);
    await until('news', () => events.events.length > seen);
    assert.equal(events.ended, false);
    const answered = callers.map((caller) => caller.answered);
    await until('calls go on', () => callers.every((caller, n) => caller.answered > answered[n]));
  }
  await Promise.all(callers.map((caller) => caller.stop()));
  keepAlive.destroy();
  events.close();
  const sequences = events.events.map(({message}) => Number(message.sequence ?? 0));
  sequences.forEach((sequence, n) => assert.equal(sequence, sequences[0] + n));
});

// Each is put where the certificate or the key is; and what is true of it then.
const DAMAGES = [
  ['half a certificate', () => ['certificate', halfOf(authority.issue().certificate)]],
  ['half a chain', () => {
    const {certificate} = authority.issue();
    return ['certificate', certificate.slice(0, -80)];
  }],
  ['an empty certificate', () => ['certificate', '']],
  ['what is no certificate', () => ['certificate', 'hello\n']],
  ['half a key', () => ['key', halfOf(authority.issue().key)]],
  ['an empty key', () => ['key', '']],
  ['the key of another certificate', () => ['key', authority.issue().key]],
  ['a certificate of another key', () => ['certificate', authority.issue().certificate]],
];
const halfOf = (text) => text.slice(0, text.length / 4);

for (const [what, damage] of DAMAGES) {
  test(`${what} changes nothing`, {timeout: 60_000}, async () => {
    const [before, looked] = [current, refusals()];
    authority.overwrite(...damage());
    await until('that it was noticed', () => refusals() > looked);
    assert.equal(await shown(), before.serial);
    assert.equal(await shownByGrpc(), before.serial);
    assert.equal((await get()).status, 200);
    current = authority.issue();
    authority.install(current);
    await until('the one that is right', async () =>
      (await shown()) === current.serial && (await shownByGrpc()) === current.serial);
  });
}

test('no key is in the log', () => {
  assert.ok(refusals() >= DAMAGES.length - 1);
  assert.doesNotMatch(gateway.log, /PRIVATE KEY/);
});

test('whoever does not finish a handshake is in nobody\'s way', {timeout: 60_000}, async () => {
  const {port} = new URL(gateway.url);
  const idlers = await Promise.all(Array.from({length: 2_500}, async (_, n) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('error', () => {}).resume();
    await once(socket, 'connect');
    // Some say nothing, some begin a ClientHello.
    if (n % 2) socket.write(Buffer.from('160301', 'hex'));
    return socket;
  }));
  for (let n = 0; n < 10; ++n) assert.equal((await get()).status, 200);
  const {status} = await call(gateway.url, 'NodeService/GetNode').catch(() => ({status: 0}));
  assert.equal(status, 0, 'a client that does not trust us has sent nothing');
  for (const idler of idlers) idler.destroy();
});
