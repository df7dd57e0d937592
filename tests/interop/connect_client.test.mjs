// The official client of the Connect protocol, against the bridge that knows no method by name.

import assert from 'node:assert/strict';
import {randomUUID} from 'node:crypto';
import {after, before, test} from 'node:test';

import {Code, ConnectError, createClient} from '@connectrpc/connect';
import {createConnectTransport} from '@connectrpc/connect-node';

import {ErrorInfo, MediaService, NodeService, RetryInfo} from './lib/api.mjs';
import {Gateway} from './lib/gateway.mjs';
import {call, exchange, offerOf} from './lib/http.mjs';
import {until} from './lib/until.mjs';

const PUBLISH = offerOf('chromium-publish');
const PLAY = offerOf('chromium-play');
const STREAMS = 3;

let gateway;
let media;
let node;

function clientOf(service, {url} = gateway, options = {}) {
  return createClient(service, createConnectTransport({
    baseUrl: url, httpVersion: '1.1', useBinaryFormat: false, ...options}));
}

before(async () => {
  gateway = await Gateway.start({env: {VIGIL_LIMITS_STREAMS_PER_CALLER: String(STREAMS)}});
  media = clientOf(MediaService);
  node = clientOf(NodeService);
});

after(() => gateway?.stop());

// The error of a call that has to fail.
async function errorOf(call) {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof ConnectError, String(error));
    return error;
  }
  return assert.fail('it was not refused');
}

const infoOf = (error) => error.findDetails(ErrorInfo)[0];

const publish = (participant, more = {}) =>
  media.publish({participant, feed: 'patient', sdpOffer: PUBLISH, ...more});

// Reads a watch until `condition` holds for all that came; returns that.
async function readUntil(request, condition) {
  const messages = [];
  const abort = new AbortController();
  try {
    for await (const message of media.watchMedia(request, {signal: abort.signal})) {
      messages.push(message);
      if (condition(messages)) return messages;
    }
  } finally {
    abort.abort();
  }
  return assert.fail('the stream ended');
}

const changesOf = (messages) => messages.filter(({kind}) => kind.case === 'event')
  .map(({kind}) => kind.value.kind);
const isAbout = (name, feed) => (messages) => changesOf(messages).some(
  (change) => change.case === name && change.value.feed.feed === feed);

test('unary calls: what goes in and comes out', async () => {
  const {node: self} = await node.getNode({});
  assert.equal(self.node, 'vigil');
  assert.equal(self.workers.length, 2);
  assert.ok(self.startTime.seconds > 1_700_000_000n);

  const published = await publish('room-1');
  assert.match(published.sdpAnswer, /^v=0\r\n/);
  const subscribed = await media.subscribe({
    participant: 'dr-1', sdpOffer: PLAY, feeds: ['room-1/patient', 'room-2/patient']});
  assert.equal(subscribed.slots.length, 2);
  assert.equal(subscribed.slots[0].feed, 'room-1/patient');
  const {feeds} = await media.listFeeds({namePrefix: 'room-1/'});
  assert.equal(feeds.length, 1);
  assert.equal(feeds[0].slots, 2);
  assert.ok(feeds[0].videoCodecs.some(({name}) => name === 'VP8'));
  await media.assignSlot({peer: subscribed.peer, slot: 0, feed: ''});
  await media.closePeer({peer: published.peer});
  await until('the end of the feed',
              async () => (await media.listFeeds({})).feeds.length === 0);
});

test('lists come in pages', async () => {
  const names = ['page-1', 'page-2', 'page-3'];
  for (const name of names) await publish(name);
  const seen = [];
  let pageToken = '';
  do {
    const page = await media.listFeeds({pageSize: 2, pageToken, namePrefix: 'page-'});
    assert.ok(page.feeds.length <= 2);
    seen.push(...page.feeds.map(({feed}) => feed));
    pageToken = page.nextPageToken;
  } while (pageToken);
  assert.deepEqual(seen, names.map((name) => `${name}/patient`));
});

const ERRORS = [
  {what: 'a peer that is not there', code: Code.NotFound, reason: 'PEER_NOT_FOUND',
   call: () => media.closePeer({peer: 'none'})},
  {what: 'a name that is none', code: Code.InvalidArgument, reason: 'FIELD_INVALID',
   metadata: {field: 'participant'}, call: () => publish('Room 1')},
  {what: 'an SDP that is none', code: Code.InvalidArgument, reason: 'SDP_INVALID',
   call: () => publish('room-1', {sdpOffer: 'hello'})},
  {what: 'nothing that can be answered', code: Code.FailedPrecondition, reason: 'SDP_UNANSWERABLE',
   call: () => publish('room-1', {sdpOffer: PLAY})},
  {what: 'another site', code: Code.PermissionDenied, reason: 'NOT_GRANTED',
   metadata: {grant: 'sites'}, call: () => media.listFeeds({site: 'south'})},
  {what: 'a page token of elsewhere', code: Code.InvalidArgument, reason: 'PAGE_TOKEN_INVALID',
   call: () => media.listFeeds({pageToken: 'abc'})},
  {what: 'a feed that nobody publishes', code: Code.NotFound, reason: 'FEED_NOT_FOUND',
   call: () => media.requestKeyframe({feed: 'nobody/patient'})},
];

for (const {what, call, code, reason, metadata = {}} of ERRORS) {
  test(`errors say why: ${what}`, async () => {
    const error = await errorOf(call());
    assert.equal(Code[error.code], Code[code], error.message);
    assert.ok(error.rawMessage.length > 5);
    const info = infoOf(error);
    assert.equal(info.reason, reason);
    assert.equal(info.domain, 'vigil.v1');
    for (const [key, value] of Object.entries(metadata)) assert.equal(info.metadata[key], value);
  });
}

test('a method that is not built', async () => {
  const error = await errorOf(media.createMix({}));
  assert.equal(Code[error.code], 'Unimplemented');
  assert.equal(infoOf(error).reason, 'NOT_BUILT');
});

test('a method or a service that there is not: 404, and as an error of the protocol', async () => {
  for (const method of ['MediaService/Nothing', 'NoService/ListFeeds', 'MediaService/']) {
    const {status, headers, reply} = await call(gateway.url, method);
    assert.equal(status, 404, method);
    assert.deepEqual(headers['content-type'], ['application/json']);
    assert.equal(reply.code, 'unimplemented');
    assert.equal(reply.message, 'no such method');
    const [{type, debug}] = reply.details;
    assert.equal(type, 'google.rpc.ErrorInfo');
    assert.deepEqual(debug, {reason: 'NOT_BUILT', domain: 'vigil.v1'});
  }
});

test('a repeated request id has one effect, another request under it none', async () => {
  const requestId = randomUUID();
  const first = await publish('once', {requestId});
  const again = await publish('once', {requestId});
  assert.equal(again.peer, first.peer);
  assert.equal(again.sdpAnswer, first.sdpAnswer);
  const error = await errorOf(publish('twice', {requestId}));
  assert.equal(infoOf(error).reason, 'REQUEST_ID_REUSED');
});

test('whoever calls too often is told when to come again', async (t) => {
  const slow = await Gateway.start({env: {VIGIL_LIMITS_CALLS_PER_SECOND: '1',
                                          VIGIL_LIMITS_CALLS_AT_ONCE: '3'}});
  t.after(() => slow.stop());
  const client = clientOf(NodeService, slow);
  const ends = await Promise.allSettled(Array.from({length: 20}, () => client.getNode({})));
  const refused = ends.filter(({status}) => status === 'rejected').map(({reason}) => reason);
  assert.ok(refused.length > 0 && refused.length <= 17, String(refused.length));
  for (const error of refused) {
    assert.equal(error.code, Code.ResourceExhausted);
    assert.equal(infoOf(error).reason, 'RATE_LIMITED');
    assert.equal(error.findDetails(RetryInfo)[0].retryDelay.seconds, 1n);
    assert.equal(error.metadata.get('retry-after'), '1');
  }
});

test('a watch: a snapshot, changes in order, and on from where it was', async () => {
  await publish('watched-1');
  const reading = readUntil({}, isAbout('feedPublished', 'watched-2/patient'));
  await publish('watched-2');
  const messages = await reading;
  assert.equal(messages[0].kind.case, 'snapshot');
  assert.ok(messages[0].kind.value.feeds.some(({feed}) => feed === 'watched-1/patient'));
  const events = messages.slice(1);
  events.forEach(({sequence}, n) => assert.equal(sequence, messages[0].sequence + BigInt(n + 1)));

  await publish('watched-3');
  const {resumeToken, sequence} = messages.at(-1);
  const resumed = await readUntil({resumeToken},
                                  isAbout('feedPublished', 'watched-3/patient'));
  assert.equal(resumed[0].kind.case, 'event');
  assert.equal(resumed[0].sequence, sequence + 1n);
});

test('errors of a watch are readable, too', async () => {
  const failed = async (request) => errorOf(readUntil(request, () => true));
  // As a token is made, of another run of the process.
  const expired = await failed({resumeToken: Buffer.from('1.2.3').toString('base64url')});
  assert.equal(expired.code, Code.OutOfRange);
  assert.equal(infoOf(expired).reason, 'RESUME_EXPIRED');
  // What cannot be read may be of another version: the way on is the same.
  const malformed = await failed({resumeToken: '?'});
  assert.equal(malformed.code, Code.OutOfRange);
  assert.equal(infoOf(malformed).reason, 'RESUME_EXPIRED');
  const site = await failed({site: 'south'});
  assert.equal(site.code, Code.PermissionDenied);
  assert.equal(infoOf(site).metadata.grant, 'sites');
});

test('a cancelled watch makes room for another', {timeout: 60_000}, async () => {
  const open = async () => {
    const abort = new AbortController();
    const stream = media.watchMedia({}, {signal: abort.signal})[Symbol.asyncIterator]();
    await stream.next();
    return {abort, stream};
  };
  // What the tests before have cancelled may take a moment to go.
  const held = [];
  await until('all streams that may be open', async () => {
    while (held.length < STREAMS) held.push(await open());
    return true;
  });
  const error = await errorOf(open());
  assert.equal(error.code, Code.ResourceExhausted);
  assert.equal(infoOf(error).metadata.limit, 'streams');
  const [{abort, stream}] = held;
  const pending = errorOf(stream.next());
  abort.abort();
  assert.equal((await pending).code, Code.Canceled);
  held[0] = await until('room for another', open);
  for (const each of held) each.abort.abort();
});

test('a deadline ends a watch, and hurries nothing else', {timeout: 60_000}, async () => {
  const error = await errorOf((async () => {
    for await (const message of media.watchMedia({}, {timeoutMs: 300})) assert.ok(message);
  })());
  assert.equal(error.code, Code.DeadlineExceeded);
  assert.ok((await media.listFeeds({}, {timeoutMs: 15_000})).feeds.length > 0);
});

// The client keeps its own deadline; whether the gateway does is seen only without it.
const envelope = (text, flags = 0) => {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(Buffer.byteLength(text), 1);
  return Buffer.concat([head, Buffer.from(text)]);
};
const watchRaw = (headers, body = envelope('{}')) => exchange(
  `${gateway.url}/vigil.v1.MediaService/WatchMedia`,
  {method: 'POST', body, headers: {'Content-Type': 'application/connect+json', ...headers}});
// The last message of a stream: {error}, or {}.
const endOf = ({body}) => JSON.parse(body.slice(body.lastIndexOf('\x02') + 5));

test('the gateway itself keeps the deadline of a stream', {timeout: 60_000}, async () => {
  const answer = await watchRaw({'Connect-Timeout-Ms': '200'});
  assert.equal(answer.status, 200);
  assert.match(answer.body, /"snapshot"/);
  const {error} = endOf(answer);
  assert.equal(error.code, 'deadline_exceeded');
  assert.ok(!JSON.stringify(error.details).includes('DEFECT'));
});

test('what is not of the protocol is refused', async () => {
  for (const headers of [{'Connect-Timeout-Ms': 'soon'}, {'Connect-Timeout-Ms': '12345678901'},
                         {'Connect-Timeout-Ms': '-1'}, {'Connect-Protocol-Version': '2'}]) {
    const stream = await watchRaw(headers);
    assert.equal(endOf(stream).error.code, 'invalid_argument', JSON.stringify(headers));
    const unary = await exchange(`${gateway.url}/vigil.v1.NodeService/GetNode`, {
      method: 'POST', body: '{}', headers: {'Content-Type': 'application/json', ...headers}});
    assert.equal(unary.status, 400, JSON.stringify(headers));
    assert.equal(JSON.parse(unary.body).code, 'invalid_argument');
  }
  for (const body of ['', '{}', envelope('{}').subarray(0, 6), envelope('{'),
                      Buffer.concat([envelope('{}'), envelope('{}')])]) {
    assert.equal(endOf(await watchRaw({}, body)).error.code, 'invalid_argument', String(body));
  }
  const compressed = await watchRaw({}, envelope('{}', 1));
  assert.equal(endOf(compressed).error.code, 'unimplemented');
});

test('binary messages are refused as a media type', async () => {
  const client = clientOf(NodeService, gateway, {useBinaryFormat: true});
  const error = await errorOf(client.getNode({}));
  assert.notEqual(error.code, Code.Internal);
  const answer = await exchange(`${gateway.url}/vigil.v1.NodeService/GetNode`, {
    method: 'POST', headers: {'Content-Type': 'application/proto'}});
  assert.equal(answer.status, 415);
  assert.deepEqual(answer.headers['accept-post'], ['application/json']);
});
