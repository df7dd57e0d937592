// A second, foreign WebRTC stack on either side of Chromium.

import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';

import {AiortcClient} from './lib/aiortc.mjs';
import {Page, launch} from './lib/browser.mjs';
import {Gateway} from './lib/gateway.mjs';
import {nameOf, untilPlaying} from './lib/media.mjs';

let gateway;
let browser;

before(async () => {
  gateway = await Gateway.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
});

for (const codec of ['VP8', 'H264']) {
  test(`aiortc publishes ${codec} and Chromium plays`, {timeout: 120_000}, async (t) => {
    const room = new AiortcClient('publish', `${gateway.url}/whip/room-1/patient`,
                                  '--codec', codec);
    t.after(() => room.stop());
    await room.event('connected');
    const doctor = await Page.open(browser, gateway.url);
    await doctor.play({participant: 'dr-1', feeds: ['room-1/patient']});
    const [picture, sound] = await untilPlaying(doctor, {frames: 60, withinMs: 60_000});
    assert.equal(picture.codec, codec);
    assert.deepEqual([picture.frameWidth, picture.frameHeight], [640, 360]);
    assert.equal(sound.codec, 'opus');
    assert.equal(nameOf(await doctor.colour('player', 0)), 'blue');
    await doctor.closeAll();
    await doctor.raw.context().close();
  });

  test(`Chromium publishes ${codec} and aiortc plays`, {timeout: 120_000}, async (t) => {
    const room = await Page.open(browser, gateway.url);
    await room.publish({feed: 'room-2/patient', codec, colour: '#e00000'});
    const doctor = new AiortcClient('play',
                                    `${gateway.url}/whep/dr-2?feeds=room-2/patient`);
    t.after(() => doctor.stop());
    await doctor.event('connected');
    const seen = await doctor.event('received', ({video, audio}) => video >= 60 && audio >= 60,
                                    {withinMs: 60_000});
    // Chromium's encoder starts small and grows as feedback allows; the shape stays.
    assert.equal(seen.size[0] / seen.size[1], 640 / 360);
    assert.ok(seen.loudest > 1000, `the tone is heard (${seen.loudest})`);
    assert.equal(nameOf(seen.colour), 'red');
    await room.closeAll();
    await room.raw.context().close();
  });
}
