// What those who watch the process see: metrics of real media, and the two probes.

import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {after, before, test} from 'node:test';

import {AiortcClient} from './lib/aiortc.mjs';
import {Gateway} from './lib/gateway.mjs';
import {until} from './lib/until.mjs';

let gateway;
let room;
let doctor;

before(async () => {
  gateway = await Gateway.start();
  room = new AiortcClient('publish', `${gateway.url}/whip/room-77/patient`);
  await room.event('connected');
  doctor = new AiortcClient('play', `${gateway.url}/whep/dr-88?feeds=room-77/patient`);
  await doctor.event('connected');
});

after(async () => {
  await doctor?.stop();
  await room?.stop();
  await gateway?.stop();
});

async function get(path) {
  const response = await fetch(gateway.metrics + path);
  return {status: response.status, type: response.headers.get('content-type'),
          text: await response.text()};
}

// Series by name and labels, as they stand in the text: 'vigil_feeds{kind="audio"}'.
async function scrape() {
  const {status, text} = await get('/metrics');
  assert.equal(status, 200, text);
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return {text, series: new Map(lines.map((line) => {
    const space = line.lastIndexOf(' ');
    return [line.slice(0, space), Number(line.slice(space + 1))];
  }))};
}

test('media shows in the metrics', {timeout: 60_000}, async () => {
  const moving = ['vigil_packets_total{direction="in",kind="audio"}',
                  'vigil_packets_total{direction="in",kind="video"}',
                  'vigil_packets_total{direction="out",kind="audio"}',
                  'vigil_packets_total{direction="out",kind="video"}',
                  'vigil_forward_latency_seconds_count{kind="audio"}',
                  'vigil_forward_latency_seconds_count{kind="video"}',
                  'vigil_egress_jitter_seconds_count{kind="video"}',
                  'vigil_rtp_jitter_seconds_count{direction="in",kind="audio"}',
                  'vigil_rtp_jitter_seconds_count{direction="out",kind="video"}',
                  'vigil_keyframe_wait_seconds_count', 'vigil_pli_total{direction="in"}',
                  'vigil_worker_turn_seconds_count'];
  const {series} = await until('each of them', async () => {
    const seen = await scrape();
    return moving.every((name) => seen.series.get(name) > 0) && seen;
  });
  assert.equal(series.get('vigil_peers{state="connected",transport="udp"}'), 2);
  assert.equal(series.get('vigil_feeds{kind="audio"}'), 1);
  assert.equal(series.get('vigil_feeds{kind="video"}'), 1);
  assert.equal(series.get('vigil_subscriptions'), 2);
  assert.equal(series.get('vigil_srtp_auth_failures_total'), 0);
  assert.ok(series.get('process_resident_memory_bytes') > 1e6);
  // Bytes are of whole packets with their headers: a packet has 12 at least.
  for (const kind of ['audio', 'video']) {
    const packets = series.get(`vigil_packets_total{direction="out",kind="${kind}"}`);
    assert.ok(series.get(`vigil_bytes_total{direction="out",kind="${kind}"}`) > 12 * packets);
  }
});

test('counters do not fall when peers go', {timeout: 60_000}, async () => {
  const before = await scrape();
  const visitor = new AiortcClient('play', `${gateway.url}/whep/dr-99?feeds=room-77/patient`);
  await visitor.event('connected');
  await visitor.stop();
  const now = await until('the end of the visitor', async () => {
    const seen = await scrape();
    return seen.series.get('vigil_peers_closed_total{reason="requested"}') > 0 && seen;
  });
  for (const [name, value] of before.series) {
    if (!/_(total|count|bucket)(\{|$)/.test(name)) continue;
    assert.ok(now.series.get(name) >= value, name);
  }
});

test('no series names a participant, a room or an address', {timeout: 60_000}, async () => {
  const {text} = await scrape();
  assert.doesNotMatch(text, /room-77|dr-88|patient|127\.0\.0\.1/);
});

test('Prometheus finds nothing to complain of', {timeout: 60_000}, async () => {
  const {text} = await scrape();
  const promtool = spawn('promtool', ['check', 'metrics'], {stdio: ['pipe', 'pipe', 'pipe']});
  let said = '';
  for (const stream of [promtool.stdout, promtool.stderr]) {
    stream.setEncoding('utf8').on('data', (part) => { said += part; });
  }
  promtool.stdin.end(text);
  const [code] = await once(promtool, 'close');
  assert.equal(said, '');
  assert.equal(code, 0);
});

test('calls of the API are counted by method and code', {timeout: 60_000}, async () => {
  await gateway.call('NodeService/GetNode');
  await assert.rejects(gateway.call('MediaService/ClosePeer', {peer: 'nobody'}));
  const {series} = await scrape();
  assert.ok(series.get('vigil_api_calls_total{code="OK",method="NodeService/GetNode"}') > 0);
  assert.ok(
    series.get('vigil_api_calls_total{code="NOT_FOUND",method="MediaService/ClosePeer"}') > 0);
  assert.ok(series.get('vigil_api_call_seconds_count{method="NodeService/GetNode"}') > 0);
});

test('ready follows draining, live does not', {timeout: 60_000}, async () => {
  assert.equal((await get('/livez')).status, 200);
  assert.equal((await get('/readyz')).status, 200);
  await gateway.call('NodeService/Drain');
  assert.equal((await get('/readyz')).status, 503);
  assert.equal((await get('/livez')).status, 200);
  assert.equal((await scrape()).series.get('vigil_draining'), 1);
  await gateway.call('NodeService/Undrain');
  assert.equal((await get('/readyz')).status, 200);
});
