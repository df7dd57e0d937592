// Server-Sent Events: every change once and in order, however often the connection breaks.

import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';

import {Gateway} from './lib/gateway.mjs';
import {EventReader, call, exchange, kindOf, offerOf} from './lib/http.mjs';
import {until} from './lib/until.mjs';

const SDP = {'Content-Type': 'application/sdp'};
const PUBLISH = offerOf('chromium-publish');
const PLAY = offerOf('chromium-play');

let gateway;

before(async () => { gateway = await Gateway.start(); });
after(() => gateway?.stop());

const open = (lastId, query = '') => EventReader.open(`${gateway.url}/v1/events/media${query}`, {
  headers: lastId === undefined ? {} : {'Last-Event-ID': lastId}});

async function post(path, body) {
  const answer = await exchange(gateway.url + path, {method: 'POST', headers: SDP, body});
  assert.equal(answer.status, 201, answer.body);
  return answer.headers.location[0];
}
const end = (path) => exchange(gateway.url + path, {method: 'DELETE'});
const untilCount = (events, count) =>
  until(`${count} events`, () => events.events.length >= count);
const sequenceOf = ({message}) => Number(message.sequence ?? 0);
const isChange = ({message}) => Boolean(message.event);

// Some changes: three of its kinds by publishing, and their ends.
async function change(name) {
  await end(await post(`/whip/${name}/patient`, PUBLISH));
}

test('a stream is of the kind that browsers read', async () => {
  const events = await open();
  assert.equal(events.status, 200);
  const {headers} = events.response;
  assert.equal(headers['content-type'], 'text/event-stream');
  assert.equal(headers['cache-control'], 'no-store');
  await untilCount(events, 1);
  assert.deepEqual(events.kinds(), ['snapshot']);
  events.close();
});

test('what happens comes in order, each with an id', async () => {
  const events = await open();
  await untilCount(events, 1);
  await change('room-1');
  await until('the end', () => events.kinds().includes('peerClosed'));
  events.close();
  const kinds = events.kinds().filter((kind) => kind !== 'heartbeat');
  const before = (first, second) => kinds.indexOf(first) >= 0 &&
                                    kinds.indexOf(first) < kinds.indexOf(second);
  assert.ok(before('peerOpened', 'peerClosed') && before('feedPublished', 'feedEnded'),
            kinds.join(' '));
  assert.ok(events.events.every(({id}) => id?.length > 0));
  assert.equal(new Set(events.events.filter(isChange).map(({id}) => id)).size,
               events.events.filter(isChange).length);
});

test('cut behind any event it goes on with the next: none missed, none twice', {timeout: 60_000},
     async () => {
  const whole = await open();
  await untilCount(whole, 1);
  for (let n = 0; n < 6; ++n) await change(`cut-${n}`);
  const done = () => whole.kinds().filter((kind) => kind === 'peerClosed').length === 6 &&
                     whole.kinds().filter((kind) => kind === 'feedEnded').length === 6;
  await until('all changes', done);
  const all = whole.events.filter(isChange);
  whole.close();
  all.forEach((event, n) => assert.equal(sequenceOf(event), sequenceOf(all[0]) + n));

  for (let cut = 0; cut + 1 < all.length; ++cut) {
    const rest = await open(all[cut].id);
    await untilCount(rest, all.length - cut - 1);
    rest.close();
    assert.deepEqual(rest.events.filter(isChange), all.slice(cut + 1), `cut behind ${cut}`);
    assert.ok(!rest.kinds().includes('snapshot'));
  }
});

test('a reader that is cut again and again misses nothing while things go on', {timeout: 60_000},
     async () => {
  const whole = await open();
  await untilCount(whole, 1);
  let going = true;
  const changes = (async () => {
    for (let n = 0; going; ++n) await change(`busy-${n % 5}`);
  })();
  const pieces = [];
  let last = (await untilCount(whole, 2), whole.events[0].id);
  while (pieces.length < 60) {
    const events = await open(last);
    await untilCount(events, 2);
    events.close();
    // What came after this look is not counted as handled.
    const got = events.events.slice(0, 2);
    last = got.at(-1).id;
    pieces.push(...got);
  }
  going = false;
  await changes;
  const changed = pieces.filter(isChange);
  await until('the whole', () => whole.events.some(({id}) => id === changed.at(-1).id));
  whole.close();
  const wanted = whole.events.filter(isChange).slice(0, changed.length);
  assert.deepEqual(changed, wanted);
});

test('a snapshot and what follows it are the truth', async () => {
  await post('/whip/there/patient', PUBLISH);
  const events = await open();
  await untilCount(events, 1);
  const {snapshot} = events.events[0].message;
  assert.ok(snapshot.feeds.some(({feed}) => feed === 'there/patient'));
  assert.ok(snapshot.participants.some(({participant}) => participant === 'there'));
  const path = await post('/whep/dr-9?feeds=there/patient', PLAY);
  const peer = path.split('/').at(-1);
  await call(gateway.url, 'MediaService/AssignSlot', {peer, slot: 1, feed: ''});
  const assigned = await until('the slot\'s end', () => events.events.find(
    ({message}) => kindOf(message) === 'slotAssigned' &&
                   message.event.slotAssigned.slot.index === 1 &&
                   !message.event.slotAssigned.slot.feed));
  assert.equal(assigned.message.event.slotAssigned.participant, 'dr-9');
  events.close();
});

test('an id that means nothing here gets a snapshot', async () => {
  for (const id of ['of-another-life', 'x'.repeat(5_000), '"', '0']) {
    const events = await open(id);
    assert.equal(events.status, 200, id.slice(0, 20));
    await untilCount(events, 1);
    events.close();
    assert.equal(events.kinds()[0], 'snapshot');
  }
});

test('an id that is too old gets a snapshot, and goes on', {timeout: 60_000}, async () => {
  const KEPT = 1_024;
  const before = await open();
  await untilCount(before, 1);
  const [{id}] = before.events;
  await post('/whip/old-1/patient', PUBLISH);
  await post('/whip/old-2/patient', PUBLISH);
  const peer = (await post('/whep/dr-old?feeds=old-1/patient', PLAY)).split('/').at(-1);
  const assign = (n) => call(gateway.url, 'MediaService/AssignSlot', {
    peer, slot: 0, feed: `old-${n % 2 + 1}/patient`});
  let n = 0;
  await until('more changes than are kept', async () => {
    for (let more = 0; more < 50; ++more) await assign(++n);
    return before.events.length > KEPT + 1;
  }, {everyMs: 1, withinMs: 50_000});
  before.close();
  const after = await open(id);
  await untilCount(after, 1);
  assert.equal(after.kinds()[0], 'snapshot');
  await assign(++n);
  await untilCount(after, 2);
  after.close();
  assert.equal(after.kinds()[1], 'slotAssigned');
});

test('a stream lives on while nothing happens', {timeout: 60_000}, async () => {
  // Three times as long as anything may take that has to end: heartbeats come each 10 s.
  const events = await open();
  await until('heartbeats', () => {
    if (events.ended) throw new Error('the stream ended');
    return events.kinds().filter((kind) => kind === 'heartbeat').length >= 3;
  }, {withinMs: 50_000, everyMs: 500});
  assert.equal(events.ended, false);
  await change('after-silence');
  await until('news', () => events.kinds().includes('peerClosed'));
  events.close();
});

test('the query sets fields of the request, and only those that there are', async () => {
  const site = await open(undefined, '?site=default');
  assert.equal(site.status, 200);
  site.close();
  for (const [query, status] of [['?site=south', 403], ['?colour=red', 400], ['?site=%00', 400]]) {
    const refused = await open(undefined, query);
    refused.close();
    assert.equal(refused.status, status, query);
  }
  for (const [method, path, status] of [['GET', 'weather', 404], ['GET', '', 404],
                                        ['POST', 'media', 405], ['DELETE', 'media', 405]]) {
    const answer = await exchange(`${gateway.url}/v1/events/${path}`, {method});
    assert.equal(answer.status, status, `${method} ${path}`);
  }
});

test('streams end in good order with the gateway', async () => {
  const other = await Gateway.start();
  const streams = await Promise.all(Array.from({length: 20}, () =>
    EventReader.open(`${other.url}/v1/events/media`)));
  await other.stop();
  await until('their ends', () => streams.every(({ended}) => ended));
});
