// Loss between a browser and the gateway is repaired by retransmission, on either side.

import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';

import {Page, launch} from './lib/browser.mjs';
import {Gateway} from './lib/gateway.mjs';
import {untilPlaying} from './lib/media.mjs';
import {ProxyRow} from './lib/udp_proxy.mjs';
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

async function call(t, {publisherRoute, playerRoute}) {
  const [room, doctor] = [await Page.open(browser, gateway.url),
                          await Page.open(browser, gateway.url)];
  t.after(async () => {
    await room.raw.context().close();
    await doctor.raw.context().close();
  });
  await room.publish({feed: 'room-1/patient', codec: 'VP8', route: publisherRoute});
  await doctor.play({participant: 'dr-1', feeds: ['room-1/patient'], route: playerRoute});
  await untilPlaying(doctor);
  return {room, doctor};
}

async function badNetwork(t, seed) {
  const proxies = await ProxyRow.start(gateway.media, {seed});
  t.after(() => proxies.close());
  return {proxies, route: {ports: proxies.ports, transport: 'udp'}};
}

const BAD = {loss: 0.04, delayMs: 10, jitterMs: 4, reorder: 0.005, reorderMs: 5, duplicate: 0.005};

// Frames must go on while packets are lost. `rows` are proxies.
async function playThroughLoss(doctor, rows, settings) {
  for (const proxies of rows) proxies.set(settings);
  await untilPlaying(doctor, {frames: 150, withinMs: 60_000});
  // Toward a publisher goes little else than feedback, so bursts there may take a while.
  for (const proxies of rows) {
    await until('loss in both directions', () => {
      const {up, down} = proxies.counters();
      return up.lost > 0 && down.lost > 0;
    }, {withinMs: 60_000});
  }
}

async function endsWell(t, doctor, proxies) {
  proxies.set({});
  const [picture] = await untilPlaying(doctor, {frames: 60});
  // How often it stood depends on the machine, too: told, not judged.
  t.diagnostic(`${picture.freezeCount} freezes, ${picture.pliCount} keyframes were asked for`);
  assert.equal(await doctor.state('player'), 'connected');
}

test('loss toward a player is repaired from the history', {timeout: 150_000}, async (t) => {
  const {proxies, route} = await badNetwork(t, 11);
  const {doctor} = await call(t, {playerRoute: route});
  await playThroughLoss(doctor, [proxies], BAD);
  await until('retransmissions', async () => {
    const [picture] = await doctor.received();
    return picture.nackCount >= 5 && picture.retransmittedPacketsReceived >= 5;
  });
  await endsWell(t, doctor, proxies);
});

test('loss from a publisher is asked for again', {timeout: 150_000}, async (t) => {
  const {proxies, route} = await badNetwork(t, 12);
  const {room, doctor} = await call(t, {publisherRoute: route});
  await playThroughLoss(doctor, [proxies], BAD);
  await room.untilSent('video', ({nackCount, retransmittedPacketsSent}) =>
    nackCount >= 5 && retransmittedPacketsSent >= 5);
  await endsWell(t, doctor, proxies);
});

test('a burst of loss on both sides is survived', {timeout: 150_000}, async (t) => {
  const [up, down] = [await badNetwork(t, 13), await badNetwork(t, 14)];
  const {doctor} = await call(t, {publisherRoute: up.route, playerRoute: down.route});
  const burst = {enter: 0.02, leave: 0.25};
  await playThroughLoss(doctor, [up.proxies, down.proxies], {burst, delayMs: 5});
  for (const {proxies} of [up, down]) proxies.set({});
  await untilPlaying(doctor, {frames: 60});
  assert.equal(await doctor.state('player'), 'connected');
});
