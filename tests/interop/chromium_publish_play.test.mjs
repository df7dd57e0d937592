// Chromium publishes camera and microphone, another Chromium page sees and hears them.

import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';

import {Page, launch} from './lib/browser.mjs';
import {Gateway} from './lib/gateway.mjs';
import {untilPlaying} from './lib/media.mjs';
import {until} from './lib/until.mjs';

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
  test(`a picture in ${codec} and its sound arrive`, {timeout: 90_000}, async (t) => {
    const room = await Page.open(browser, gateway.url);
    const doctor = await Page.open(browser, gateway.url);
    const published = await room.publish({feed: 'room-1/patient', codec});
    const played = await doctor.play({participant: 'dr-1', feeds: ['room-1/patient']});
    assert.deepEqual(played.slots, ['video', 'audio']);
    assert.ok(published.id && played.id && published.id !== played.id);
    assert.ok(published.entityTag && played.entityTag, 'an ETag names the ICE session');

    // 90 frames are three seconds: more than a keyframe and what follows it by luck.
    const [picture, sound] = await untilPlaying(doctor, {frames: 90});
    assert.equal(picture.codec, codec);
    // The encoder starts small, until feedback has shown it what the path can carry.
    await until('the full size', async () => {
      const [{frameWidth, shownWidth, shownHeight}] = await doctor.received();
      return frameWidth === 640 && shownWidth === 640 && shownHeight === 480;
    });
    t.diagnostic(`${picture.freezeCount} freezes`);
    assert.equal(sound.codec, 'opus');
    assert.ok(sound.totalAudioEnergy > 0, 'the beep of the fake microphone is heard');
    const {video} = await room.sent();
    assert.equal(video.codec, codec);

    await doctor.close('player');
    await room.close('publisher');
    assert.deepEqual([...room.errors, ...doctor.errors], []);
    await Promise.all([room.raw.context().close(), doctor.raw.context().close()]);
  });
}

test('sound is reported and pictures carry their capture time', {timeout: 90_000}, async () => {
  const room = await Page.open(browser, gateway.url);
  const doctor = await Page.open(browser, gateway.url);
  const {offer, answer} = await room.publish({feed: 'room-1/patient', codec: 'VP8'});
  const uri = 'http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time';
  assert.ok(offer.includes(uri), 'the page asks for abs-capture-time');
  assert.ok(answer.includes(uri), 'the gateway takes it');
  await doctor.play({participant: 'dr-1', feeds: ['room-1/patient']});
  await untilPlaying(doctor, {frames: 30});
  await doctor.untilCaptureTime(0);
  const {audio} = await room.untilSent('audio', ({remote}) => remote?.roundTripTime >= 0);
  assert.ok(audio.remote.fractionLost === 0, 'nothing is lost on loopback');
});
