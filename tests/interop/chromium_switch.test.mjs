// One slot carries rooms of different codecs in turn, without a new offer.

import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';

import {Page, launch} from './lib/browser.mjs';
import {Gateway} from './lib/gateway.mjs';
import {nameOf, untilPlaying} from './lib/media.mjs';
import {until} from './lib/until.mjs';

const ROOMS = {
  'room-1/patient': {colour: '#e00000', seen: 'red', codec: 'VP8'},
  'room-2/patient': {colour: '#0000e0', seen: 'blue', codec: 'H264'},
};

let gateway;
let browser;
let doctor;

before(async () => {
  gateway = await Gateway.start();
  browser = await launch();
  for (const [feed, {colour, codec}] of Object.entries(ROOMS)) {
    const room = await Page.open(browser, gateway.url);
    await room.publish({feed, codec, colour});
  }
  doctor = await Page.open(browser, gateway.url);
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
});

async function untilShown(name, slot, feed) {
  const {seen, codec} = ROOMS[feed];
  await until(`${seen} in ${codec}`, async () => {
    const colour = nameOf(await doctor.colour(name, slot));
    const picture = (await doctor.received(name))[slot];
    return colour === seen && picture.codec === codec;
  });
}

test('a slot is switched VP8 to H.264 and back', {timeout: 120_000}, async () => {
  await doctor.play({participant: 'dr-1', feeds: ['room-1/patient']});
  await untilShown('player', 0, 'room-1/patient');
  const [first] = await doctor.received();
  for (const feed of ['room-2/patient', 'room-1/patient', 'room-2/patient', 'room-1/patient']) {
    await doctor.assign('player', 0, feed);
    await untilShown('player', 0, feed);
    // It goes on playing, not only one keyframe: the same receiver, track and SSRC.
    const [picture] = await untilPlaying(doctor, {frames: 30});
    assert.deepEqual([picture.trackId, picture.ssrc], [first.trackId, first.ssrc]);
    assert.equal(nameOf(await doctor.colour('player', 0)), ROOMS[feed].seen);
  }
  assert.equal(await doctor.state('player'), 'connected');
});

test('two slots are crossed and do not mix', {timeout: 120_000}, async () => {
  const [one, two] = Object.keys(ROOMS);
  await doctor.play({name: 'pair', participant: 'dr-2', feeds: [one, two]});
  const both = {name: 'pair', pictures: [0, 1], sounds: [2, 3]};
  await untilShown('pair', 0, one);
  await untilShown('pair', 1, two);
  await untilPlaying(doctor, both);
  await doctor.assign('pair', 0, two);
  await doctor.assign('pair', 1, one);
  await untilShown('pair', 0, two);
  await untilShown('pair', 1, one);
  await untilPlaying(doctor, both);
});

test('a cleared slot falls silent and comes back', {timeout: 120_000}, async () => {
  const [one] = Object.keys(ROOMS);
  await doctor.play({name: 'cleared', participant: 'dr-3', feeds: [one]});
  await untilPlaying(doctor, {name: 'cleared'});
  await doctor.assign('cleared', 0, '');
  let packets = -1;
  await until('no more packets', async () => {
    const [picture] = await doctor.received('cleared');
    const isSilent = picture.packetsReceived === packets;
    packets = picture.packetsReceived;
    return isSilent;
  }, {everyMs: 500});
  await untilPlaying(doctor, {name: 'cleared', pictures: []});  // Its sound was not cleared.
  await doctor.assign('cleared', 0, one);
  await untilPlaying(doctor, {name: 'cleared'});
});

test('a wrong assignment is refused and changes nothing', {timeout: 120_000}, async () => {
  const [one] = Object.keys(ROOMS);
  const {id} = await doctor.play({name: 'refused', participant: 'dr-4', feeds: [one]});
  await untilPlaying(doctor, {name: 'refused'});
  for (const [message, reason, why] of [
    [{peer: id, slot: 0, feed: 'room-9/nobody'}, 'FEED_NOT_FOUND', /room-9\/nobody/],
    [{peer: id, slot: 7, feed: one}, 'SLOT_NOT_FOUND', /slot 7/],
    [{peer: id, slot: -1, feed: one}, 'FIELD_INVALID', /slot/],
    [{peer: 'no-such-peer', slot: 0, feed: one}, 'PEER_NOT_FOUND', /no-such-peer/],
    [{peer: id, slot: 0, feed: 'not a feed name'}, 'FIELD_INVALID', /feed/],
    [{peer: id, slot: 'first', feed: one}, 'FIELD_INVALID', /slot/],
    [{peer: id, slot: 0, fed: one}, 'FIELD_INVALID', /fed/],
  ]) {
    await assert.rejects(gateway.call('MediaService/AssignSlot', message), (error) => {
      assert.equal(error.details[0].debug.reason, reason, error.message);
      assert.match(error.message, why);
      return true;
    });
  }
  await untilPlaying(doctor, {name: 'refused'});
});
