// How long a physician waits: from the WHEP POST to the first frame that Chromium has decoded and
// shown, on loopback, with the publisher up. Prints milliseconds; judges nothing.
//   VIGIL_GATEWAY=build/release/gateway/app/vigil-gateway \
//     node benchmarks/startup/whep_startup.mjs [RUNS]

import {Page, launch} from '../../tests/interop/lib/browser.mjs';
import {Gateway} from '../../tests/interop/lib/gateway.mjs';
import {untilPlaying} from '../../tests/interop/lib/media.mjs';

const RUNS = Number(process.argv[2] ?? 20);
// The first runs also start decoders and load code.
const WARM_UP = 2;

// Runs in the page: one whole play, as times since the POST.
async function playOnce(feed) {
  // Physicians do not come a blink apart: a keyframe of the run before must not help or, by the
  // encoder's 300 ms throttle, hinder this one.
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const client = new window.vigil.WhepClient(`/whep/dr-1?feeds=${feed}`);
  const video = document.createElement('video');
  Object.assign(video, {autoplay: true, muted: true});
  document.body.append(video);
  const frame = new Promise((resolve) => video.requestVideoFrameCallback(resolve));
  let connected;
  client.addEventListener('state', () => {
    if (client.state === 'connected') connected ??= performance.now();
  });
  const playing = client.play({pictures: 1, sounds: 1});
  video.srcObject = client.pictures[0].stream;
  await playing;
  const answered = performance.now();
  const shown = await frame;
  const since = (time) => time - client.requestedAt;
  await client.close();
  video.remove();
  return {answered: since(answered), connected: since(connected), frame: since(shown)};
}

function describe(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  const row = {median: at(0.5), p90: at(0.9), least: sorted[0], most: sorted.at(-1)};
  return Object.entries(row).map(([name, value]) => `${name} ${value.toFixed(1)}`).join('  ');
}

async function measure(browser, gateway, codec) {
  const room = await Page.open(browser, gateway.url);
  const doctor = await Page.open(browser, gateway.url);
  await room.publish({feed: 'room-1/patient', codec});
  await doctor.play({participant: 'dr-0', feeds: ['room-1/patient']});
  await untilPlaying(doctor);
  await doctor.closeAll();
  const runs = [];
  for (let n = 0; n < RUNS + WARM_UP; ++n) {
    const times = await doctor.raw.evaluate(playOnce, 'room-1/patient');
    if (n >= WARM_UP) runs.push(times);
  }
  console.log(`${codec}, ${RUNS} runs, milliseconds since the POST`);
  for (const step of ['answered', 'connected', 'frame']) {
    console.log(`  ${step.padEnd(10)} ${describe(runs.map((times) => times[step]))}`);
  }
  await room.closeAll();
  await Promise.all([room.raw.context().close(), doctor.raw.context().close()]);
}

const gateway = await Gateway.start();
const browser = await launch();
try {
  for (const codec of ['VP8', 'H264']) await measure(browser, gateway, codec);
} finally {
  await browser.close();
  await gateway.stop();
}
