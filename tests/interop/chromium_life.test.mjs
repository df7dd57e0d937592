// Connections come, are replaced and go: publishing again, closing, leaving, TCP only.

import assert from 'node:assert/strict';
import {after, afterEach, before, beforeEach, test} from 'node:test';

import {Page, launch} from './lib/browser.mjs';
import {Gateway} from './lib/gateway.mjs';
import {nameOf, untilPlaying} from './lib/media.mjs';
import {until} from './lib/until.mjs';

const FEED = 'room-1/patient';

let gateway;
let browser;
let room;
let doctor;

before(async () => {
  gateway = await Gateway.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
});

beforeEach(async () => {
  room = await Page.open(browser, gateway.url);
  doctor = await Page.open(browser, gateway.url);
});

afterEach(async () => {
  for (const page of [room, doctor]) {
    await page.closeAll();
    await page.raw.context().close();
  }
  assert.deepEqual(await peers(), [], 'who said goodbye is gone');
});

async function peers() { return (await gateway.stats()).peers; }

function untilColour(colour) {
  return until(colour, async () => nameOf(await doctor.colour('player', 0)) === colour);
}

async function playRed() {
  await room.publish({feed: FEED, codec: 'VP8', colour: '#e00000'});
  const played = await doctor.play({participant: 'dr-1', feeds: [FEED]});
  await untilColour('red');
  return played;
}

test('publishing a feed again replaces the old one', {timeout: 90_000}, async () => {
  await playRed();
  await room.publish({name: 'again', feed: FEED, codec: 'VP8', colour: '#0000e0'});
  await untilColour('blue');
  await untilPlaying(doctor);
  assert.equal(nameOf(await doctor.colour('player', 0)), 'blue');
  assert.equal((await peers()).length, 2, 'the replaced publisher is gone');
});

test('after a reload the room is seen again', {timeout: 90_000}, async () => {
  await playRed();
  await room.raw.reload();
  await room.install();
  await room.publish({feed: FEED, codec: 'H264', colour: '#0000e0'});
  await untilColour('blue');
  await untilPlaying(doctor);
  assert.equal((await peers()).length, 2);
});

test('a closed publisher is seen no more, a closed player is gone', {timeout: 90_000}, async () => {
  const {id} = await playRed();
  assert.equal((await peers()).length, 2);
  await room.close('publisher');
  await until('one peer less', async () => (await peers()).length === 1);
  let frames = -1;
  await until('no more frames', async () => {
    const [picture] = await doctor.received();
    const isStill = picture.framesDecoded === frames;
    frames = picture.framesDecoded;
    return isStill;
  }, {everyMs: 500});
  assert.equal(await doctor.state('player'), 'connected', 'the player waits for the next feed');

  await doctor.close('player');
  await until('no peer', async () => (await peers()).length === 0);
  const gone = await fetch(`${gateway.url}/whep/dr-1/${id}`, {method: 'DELETE'});
  assert.equal(gone.status, 404, 'a resource ends once');
});

test('a player that comes first sees the room when it comes', {timeout: 90_000}, async () => {
  await doctor.play({participant: 'dr-1', feeds: [FEED]});
  await until('the connection', async () => await doctor.state('player') === 'connected');
  await room.publish({feed: FEED, codec: 'VP8', colour: '#e00000'});
  await untilColour('red');
  await untilPlaying(doctor);
});

test('all of it works over TCP alone', {timeout: 90_000}, async () => {
  const route = {transport: 'tcp'};
  const {answer} = await room.publish({feed: FEED, codec: 'VP8', colour: '#e00000', route});
  assert.match(answer, /a=candidate:.* tcp .* tcptype passive/i);
  await doctor.play({participant: 'dr-1', feeds: [FEED], route});
  await untilColour('red');
  const [picture] = await untilPlaying(doctor, {frames: 90});
  assert.equal(picture.protocol, 'tcp');
});
