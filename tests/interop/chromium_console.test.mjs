// The console's own page: its forms publish, play, switch, and say what went wrong.

import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';

import {launch} from './lib/browser.mjs';
import {Gateway} from './lib/gateway.mjs';
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

// A browser of its own: what a page stores there, another context does not see.
async function openConsole(t) {
  const context = await browser.newContext({permissions: ['camera', 'microphone']});
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(`${gateway.url}/`);
  return page;
}

async function publish(page, participant) {
  await page.fill('#publish [name=participant]', participant);
  await page.click('#publish button');
}

// The figures of a tile have a picture's size in them once frames are sent or shown.
function untilShown(page, section, name) {
  return until(`${name} in ${section}`, async () => {
    const tile = page.locator(`section:has(${section}) .tile`);
    const text = await tile.first().innerText();
    const stands = await tile.first().locator('.stale').innerText();
    return text.includes(name) && /connected/.test(text) && /\d+ × \d+/.test(text) && !stands;
  });
}

test('a room is published, played, switched and reloaded', {timeout: 120_000}, async (t) => {
  const [room, other, doctor] = [await openConsole(t), await openConsole(t), await openConsole(t)];
  await publish(room, 'room-1');
  await publish(other, 'room-2');
  await untilShown(room, '#publish', 'room-1/patient');
  await untilShown(other, '#publish', 'room-2/patient');
  await doctor.fill('#play [name=feeds]', 'room-1/patient');
  await doctor.click('#play button');
  await untilShown(doctor, '#play', 'room-1/patient');

  await doctor.fill('.switch [name=feed]', 'room-9/nobody');
  await doctor.click('.switch button');
  const complaint = doctor.locator('section:has(#play) .error');
  await until('the complaint', async () => /room-9\/nobody/.test(await complaint.innerText()));
  await doctor.fill('.switch [name=feed]', 'room-2/patient');
  await doctor.click('.switch button');
  await untilShown(doctor, '#play', 'room-2/patient');

  await other.reload();
  await publish(other, 'room-2');
  await untilShown(other, '#publish', 'room-2/patient');
  await untilShown(doctor, '#play', 'room-2/patient');
});

test('another browser is told that the feed is held', {timeout: 120_000}, async (t) => {
  const [room, intruder] = [await openConsole(t), await openConsole(t)];
  await publish(room, 'room-3');
  await untilShown(room, '#publish', 'room-3/patient');
  await publish(intruder, 'room-3');
  const complaint = intruder.locator('section:has(#publish) .error');
  await until('the complaint', async () => /another device/.test(await complaint.innerText()));
  assert.equal(await intruder.locator('.tile').count(), 0);
  await untilShown(room, '#publish', 'room-3/patient');
});
