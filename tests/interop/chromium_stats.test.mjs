// What the API tells of a call is what two browsers see of it.

import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';

import {Page, launch} from './lib/browser.mjs';
import {Gateway} from './lib/gateway.mjs';
import {untilPlaying} from './lib/media.mjs';
import {until} from './lib/until.mjs';

const FEED = 'room-1/patient';

let gateway;
let browser;
let room;
let doctor;

before(async () => {
  gateway = await Gateway.start();
  browser = await launch();
  room = await Page.open(browser, gateway.url);
  doctor = await Page.open(browser, gateway.url);
  await room.publish({feed: FEED, codec: 'VP8'});
  await doctor.play({participant: 'dr-1', feeds: [FEED, 'room-2/nobody']});
  await untilPlaying(doctor, {pictures: [0], sounds: [2]});
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
});

// 64-bit numbers are strings in protobuf's JSON, and zero is left out.
const count = (text) => Number(text ?? '0');
const seconds = (duration) => Number(/^(\d+(\.\d+)?)s$/.exec(duration)[1]);

async function statsOf(participant) {
  const {peers} = await gateway.call('MediaService/GetStats', {participant});
  assert.equal(peers.length, 1);
  return peers[0];
}

test('a publisher\'s streams are told by kind and codec', {timeout: 60_000}, async () => {
  const sent = await room.sent();
  const stats = await statsOf('room-1');
  assert.equal(stats.publishes, FEED);
  assert.equal(stats.phase, 'PEER_PHASE_CONNECTED');
  assert.equal(stats.transport, 'PEER_TRANSPORT_UDP');
  const [video, audio] = ['VIDEO', 'AUDIO'].map((kind) =>
    stats.inbound.find((stream) => stream.kind === `MEDIA_KIND_${kind}`));
  assert.deepEqual([video.ssrc, audio.ssrc], [sent.video.ssrc, sent.audio.ssrc]);
  assert.deepEqual([video.codec.name, audio.codec.name], ['VP8', 'opus']);
  assert.ok(count(video.packets) > 0);
  assert.ok(count(video.keyframes) >= 1);
  assert.ok(Date.parse(video.lastPacketTime) >= Date.parse(stats.createTime));
});

test('a slot tells what flows, and one without a room that nothing does', {timeout: 60_000},
     async () => {
  const seen = await doctor.received();
  const stats = await statsOf('dr-1');
  const [shown, dark] = stats.outbound;
  assert.equal(shown.slot.feed, FEED);
  assert.equal(shown.ssrc, seen[0].ssrc);
  assert.ok(count(shown.packets) >= seen[0].packetsReceived, 'what was received was sent');
  assert.ok(Date.parse(shown.flowTime) >= Date.parse(stats.createTime));
  assert.equal(shown.blocked, undefined);
  assert.equal(dark.slot.feed, 'room-2/nobody');
  assert.equal(count(dark.packets), 0);
  assert.equal(dark.flowTime, undefined);
  assert.equal(dark.roundTrip, undefined, 'what was not measured is not told');
  assert.equal(stats.roundTrip, undefined, 'who publishes nothing has no publisher\'s round trip');
});

// Sound is neither repeated nor padded: after the same packets the bytes are the same. Of a picture
// the browser also counts what it sends to probe the network.
function isSameMedia(stream, {packets, bytes}) {
  if (stream.kind !== 'MEDIA_KIND_AUDIO') return Math.abs(count(stream.bytes) / bytes - 1) < 0.1;
  return count(stream.packets) === packets && count(stream.bytes) === bytes;
}

// Waits until `look` has seen each kind of [gateway's stream, browser's packets and bytes] agree.
async function untilSameMedia(look) {
  const agreed = new Set();
  await until('the same bytes', async () => {
    const pairs = await look();
    for (const [stream, own] of pairs) if (isSameMedia(stream, own)) agreed.add(stream.kind);
    if (agreed.size === 2) return true;
    throw new Error(JSON.stringify(pairs));
  });
}

test('bytes are those that the publisher counts', {timeout: 60_000}, () =>
  untilSameMedia(async () => {
    const sent = Object.values(await room.sent());
    const {inbound} = await statsOf('room-1');
    return sent.map(({ssrc, packetsSent, bytesSent}) =>
      [inbound.find((stream) => stream.ssrc === ssrc), {packets: packetsSent, bytes: bytesSent}]);
  }));

test('bytes are those that the receiver counts', {timeout: 60_000}, () =>
  untilSameMedia(async () => {
    const seen = (await doctor.received()).filter(({packetsReceived}) => packetsReceived > 0);
    const {outbound} = await statsOf('dr-1');
    return seen.map(({ssrc, packetsReceived, bytesReceived}) => {
      const {slot, ...stream} = outbound.find((one) => one.ssrc === ssrc);
      return [{...stream, kind: slot.kind}, {packets: packetsReceived, bytes: bytesReceived}];
    });
  }));

test('the round trip and the confirmation come with reports', {timeout: 60_000}, async () => {
  const {outbound} = await until('a report', async () => {
    const stats = await statsOf('dr-1');
    return stats.outbound[0].roundTrip && stats.outbound[0].confirmTime && stats;
  });
  assert.ok(seconds(outbound[0].roundTrip) < 5);
  assert.ok(Date.parse(outbound[0].confirmTime) >= Date.parse(outbound[0].flowTime));
});

test('the node counts peers, feeds and what its workers forwarded', {timeout: 60_000}, async () => {
  const {node} = await gateway.call('NodeService/GetNode');
  assert.deepEqual([node.state, node.peers, node.feeds], ['NODE_STATE_SERVING', 2, 1]);
  assert.equal(node.workers.length, 2);
  assert.deepEqual(node.mediaAddresses,
                   gateway.media.map(({host, port}) => `${host}:${port}`));
  const dwell = node.workers.map((worker) => worker.dwell);
  assert.ok(dwell.some(({count: n}) => count(n) > 0));
  for (const {count: n = '0', counts, edges} of dwell) {
    assert.equal(counts.length, edges.length + 1);
    assert.equal(counts.reduce((sum, bucket) => sum + count(bucket), 0), count(n));
    assert.ok(edges.includes('0.250s'), 'the edge that is promised');
  }
});
