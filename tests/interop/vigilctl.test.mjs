// The real vigilctl against the real gateway: each command, for people and for programs.

import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {after, before, test} from 'node:test';

import {AiortcClient} from './lib/aiortc.mjs';
import {Gateway} from './lib/gateway.mjs';
import {until} from './lib/until.mjs';
import {PLAY, RunningCtl, TcpRoad, TemporaryFolder, bad, ctl, freePort, good, objects, open}
  from './lib/vigilctl.mjs';

const folder = new TemporaryFolder();
after(() => folder.remove());

let gateway;
let env;
let room;

before(async () => {
  gateway = await Gateway.start();
  env = {VIGILCTL_SERVER: gateway.grpc};
  room = new AiortcClient('publish', `${gateway.url}/whip/room-1/patient`, '--codec', 'VP8');
  await room.event('connected');
  await until('the feed', async () => /room-1/.test((await ctl(['list', 'feeds'], {env})).out));
});
after(async () => {
  await room?.stop();
  await gateway?.stop();
});

// The only connection of dr-1: what is not connected in time goes by itself, so that each test has
// its own.
async function openReceiver() {
  const {participants = []} = await gateway.call('MediaService/ListParticipants',
                                                 {namePrefix: 'dr-1'});
  for (const {peer} of participants.flatMap((one) => one.peers)) {
    await gateway.call('MediaService/ClosePeer', {peer});
  }
  return open(gateway, '/whep/dr-1', PLAY);
}

test('lists who is there', async () => {
  const receiver = await openReceiver();
  const table = await good(['list', 'participants'], {env});
  const [head, ...rows] = table.trimEnd().split('\n');
  assert.match(head, /^SITE +PARTICIPANT +PEER +PHASE +PUBLISHES +SLOT +AGE$/);
  assert.ok(rows.some((row) => row.startsWith('default  room-1 ') && row.includes('connected')));
  assert.ok(rows.some((row) => row.includes(receiver)));
  // A column begins where its head does.
  for (const row of rows) assert.match(row.slice(head.indexOf('PEER') - 1), /^ [0-9a-f]{32} /);
  const all = objects(await good(['list', 'participants', '--json'], {env}));
  assert.deepEqual(all.map((one) => one.participant), ['dr-1', 'room-1']);
  const some = objects(await good(['--json', 'list', 'participants', '--prefix', 'dr'], {env}));
  assert.deepEqual(some.map((one) => one.participant), ['dr-1']);
});

test('lists all pages', async () => {
  // The node's pages have 1,000 names at most: two pages of statistics are cheaper to have.
  const peers = [];
  for (let i = 0; i < 105; ++i) peers.push(await open(gateway, `/whep/many-${i}`, PLAY));
  const seen = objects(await good(['stats', '--json'], {env})).map((one) => one.peer);
  for (const peer of peers) assert.ok(seen.includes(peer), peer);
  for (const peer of peers) await gateway.call('MediaService/ClosePeer', {peer});
});

test('lists what is published', async () => {
  assert.match(await good(['list', 'feeds'], {env}), /default +room-1\/patient +VP8 +opus +1 +0 /);
  const [feed] = objects(await good(['list', 'feeds', '--json'], {env}));
  assert.equal(feed.feed, 'room-1/patient');
});

test('assigns, selects layers, and asks for keyframes', async () => {
  const receiver = await openReceiver();
  const slot = objects(await good(['list', 'participants', '--prefix', 'dr-1', '--json'], {env}))[0]
    .peers[0].slots.find((one) => one.kind === 'MEDIA_KIND_VIDEO').index ?? 0;
  assert.match(await good(['assign', receiver, String(slot), 'room-1/patient'], {env}),
               /carries room-1\/patient from now on/);
  assert.match(await good(['list', 'participants'], {env}),
               new RegExp(`${slot} picture room-1/patient`));
  assert.match(await good(['layer', receiver, String(slot), '0'], {env}), /layer 0 at most/);
  assert.match(await good(['layer', receiver, String(slot), 'best'], {env}), /best layer/);
  assert.match(await good(['keyframe', 'room-1/patient'], {env}), /asked for a keyframe/);
  const [done] = objects(await good(['assign', receiver, String(slot), '-', '--json'], {env}));
  assert.match(done.done, /carries nothing/);
  assert.doesNotMatch(await good(['list', 'participants'], {env}), /picture room-1\/patient/);
});

test('says what is wrong with a call, and what to do', async () => {
  const receiver = await openReceiver();
  await bad(['assign', 'nobody', '0', 'room-1/patient'], 1,
            /^vigilctl: PEER_NOT_FOUND: .*\n  what to do: .*list participants/, {env});
  await bad(['assign', receiver, '99', 'room-1/patient'], 1, /SLOT_NOT_FOUND/, {env});
  await bad(['keyframe', 'room-9/patient'], 1, /FEED_NOT_FOUND/, {env});
  await bad(['keyframe', 'Room 9'], 1, /FIELD_INVALID: feed/, {env});
  const run = await ctl(['close', 'nobody', '--json'], {env});
  assert.equal(run.code, 1);
  assert.equal(objects(run.err)[0].reason, 'PEER_NOT_FOUND');
});

test('says what is wrong with a command', async () => {
  for (const args of [[], ['nothing'], ['list'], ['assign', 'abc'], ['close'],
                      ['assign', 'abc', 'x', 'room-1/patient'], ['layer', 'abc', '0', 'top'],
                      ['node', '--no-such-flag'], ['node', '--server', 'nowhere'],
                      ['node', '--cert', 'x'], ['node', '--timeout', '0'],
                      ['node', '--plaintext', '--ca', 'x'], ['completion', 'csh'],
                      ['node', '--server', '10.0.0.1:1', '--plaintext', '--token-file', 'x']]) {
    await bad(args, 2, /^vigilctl: [^\n]*; allowed: [^\n]*\n$/, {env});
    const {code, err} = await ctl(['--json', ...args], {env});
    assert.equal(code, 2, err);
    assert.match(objects(err)[0].message, /; allowed: /);
  }
});

test('has help for each command', async () => {
  assert.match(await good(['--help'], {env}), /Exit codes/);
  assert.match(await good(['--version'], {env}), /^\d+\.\d+\.\d+\n$/);
  for (const args of [['list', 'feeds'], ['watch'], ['why'], ['doctor'], ['token', 'make']]) {
    assert.match(await good([...args, '--help'], {env}), /Usage: vigilctl/);
  }
});

test('tells streams', async () => {
  const table = await good(['stats'], {env});
  const [head, ...rows] = table.split('\n');
  assert.deepEqual(head.split(/ +/).slice(0, 8), ['SITE', 'PARTICIPANT', 'PEER', 'STREAM', 'KIND',
                                                   'CODEC', 'FEED', 'PACKETS']);
  const picture = /^default +room-1 +[0-9a-f]{32} +in layer 0 +picture +VP8 +room-1\/patient +\d+/;
  assert.ok(rows.some((row) => picture.test(row)), table);
  const own = objects(await good(['stats', 'room-1', '--json'], {env}));
  assert.deepEqual(own.map((one) => one.participant), ['room-1']);
});

test('tells the node', async () => {
  const text = await good(['node'], {env});
  assert.match(text, /^node +vigil, version \d/);
  assert.match(text, /state +serving, up /);
  assert.match(text, /WORKER +PEERS +SLOTS +BUSY +DWELL P50/);
  const [node] = objects(await good(['node', '--json'], {env}));
  assert.equal(node.state, 'NODE_STATE_SERVING');
  assert.equal(node.workers.length, 2);
});

test('says why a room is dark', async () => {
  const dark = await ctl(['why', 'room-7'], {env});
  assert.equal(dark.code, 1);
  assert.match(dark.out, /^flows +room-7 is not connected to this node: /);
  assert.equal(dark.out.trimEnd().split('\n').length, 5);

  const doctor = new AiortcClient('play', `${gateway.url}/whep/dr-2?feeds=room-1/patient`);
  await doctor.event('received', ({video, audio}) => video > 0 && audio > 0);
  const lit = await until('all to flow', async () => {
    const run = await ctl(['why', 'room-1'], {env});
    return run.code === 0 ? run.out : undefined;
  });
  assert.match(lit, /flows +room-1\/patient sends picture \(VP8\) and sound \(opus\)\./);
  assert.match(lit, /dr-2 gets the picture of room-1\/patient/);
  const [answer] = objects(await good(['why', 'room-1', '--json'], {env}));
  assert.equal(answer.flows, true);
  assert.equal(answer.lines.length, 5);
  await doctor.stop();
});

test('watches: what is there, then what changes', async () => {
  const watch = new RunningCtl(['watch'], {env});
  const json = new RunningCtl(['watch', '--json'], {env});
  await watch.line(/^that is all/);
  await until('the snapshot', () => json.lines().length > 0);
  const peer = await open(gateway, '/whep/dr-3', PLAY);
  await watch.line(new RegExp(`default peer opened +dr-3 ${peer} receives$`));
  await good(['close', peer], {env});
  await watch.line(new RegExp(`default peer closed +dr-3 ${peer}: requested$`));
  await json.line(/peerClosed/);
  for (const one of [watch, json]) assert.equal((await one.stop()).code, 0);
  const seen = objects(json.out);
  assert.ok(seen[0].snapshot);
  assert.ok(seen.some((one) => one.event?.peerOpened?.participant === 'dr-3'));
});

test('drains, waits, and serves again', async () => {
  const [state] = objects(await good(['drain', '--json'], {env}));
  assert.equal(state.state, 'NODE_STATE_DRAINING');
  assert.match(await good(['node'], {env}), /DRAINING/);
  assert.match(await good(['undrain'], {env}), /serves/);

  const other = await Gateway.start({workers: 1});
  const at = {VIGILCTL_SERVER: other.grpc};
  const first = await open(other, '/whep/dr-1', PLAY);
  const second = await open(other, '/whep/dr-2', PLAY);
  const drain = new RunningCtl(['drain', '--wait'], {env: at});
  await drain.line(/2 connections are left/);
  await good(['close', first], {env: at});
  await drain.line(/^1 connections are left/);
  await good(['close', second], {env: at});
  const end = await drain.end();
  assert.equal(end.code, 0, end.err);
  assert.match(end.out, /empty: it can be stopped\n$/);
  await other.stop();
});

test('closes a connection', async () => {
  const receiver = await openReceiver();
  assert.match(await good(['close', receiver], {env}), /is closed/);
  await bad(['close', receiver], 1, /PEER_NOT_FOUND/, {env});
});

test('the doctor finds all well', async () => {
  const {out, code} = await ctl(['doctor', '--http', gateway.url], {env});
  assert.equal(code, 0, out);
  for (const row of [/^pass  grpc port/m, /^skip  tls/m, /^skip  token/m, /^pass  health/m,
                     /^pass  node/m, /^pass  http /m, /^skip  metrics/m, /^pass  media 0/m,
                     /^pass  media 1/m, /^pass  clock/m]) {
    assert.match(out, row);
  }
});

test('the doctor says what it waits for: a heartbeat tells the clock without HTTP', async () => {
  const people = new RunningCtl(['doctor'], {env});
  const {code, out, err} = await ctl(['doctor', '--json'], {env});
  assert.equal(code, 0, out);
  assert.match(objects(err)[0].notice, /^clock: waiting for the node's next event or heartbeat/);
  const rows = objects(out);
  assert.deepEqual(rows.filter((row) => row.check === 'clock').map((row) => row.result), ['pass']);
  const text = (await people.end()).out;
  assert.match(text, /^wait  clock        for the node's next event .*\npass  clock /m);
});

test('the doctor reads the clock of a site where something always happens', async (t) => {
  const busy = await Gateway.start({workers: 1});
  t.after(() => busy.stop());
  const doctor = new RunningCtl(['doctor'], {env: {VIGILCTL_SERVER: busy.grpc}});
  await doctor.line(/^wait  clock/);
  let end;
  doctor.end().then((ended) => { end = ended; }, (error) => { end = error; });
  while (!end) {
    const peer = await open(busy, '/whep/dr-1', PLAY);
    await busy.call('MediaService/ClosePeer', {peer});
  }
  assert.match(end.out ?? String(end), /^pass  clock/m);
});

test('the doctor finds what is wrong in plain text', async () => {
  const nobody = `127.0.0.1:${await freePort()}`;
  const fails = async (args, pattern) => {
    const {out, code} = await ctl(['doctor', ...args], {env});
    assert.equal(code, 1, out);
    assert.match(out, pattern);
  };
  await fails(['--server', nobody], /^FAIL  grpc port    127.0.0.1:\d+: Connection refused\n/m);
  await fails(['--http', `http://${nobody}`], /^FAIL  http .*Connection refused/m);
  await fails(['--http', gateway.url, '--metrics', `${gateway.url}/`],
              /^FAIL  readyz .*: 404$/m);
  await good(['dev-ca', '--dir', `${folder.path}/unused`, '--host', '127.0.0.1']);
  await fails(['--http', gateway.url, '--ca', `${folder.path}/unused/ca.pem`],
              /^FAIL  tls .*\n.*does not speak TLS/m);
  await good(['drain'], {env});
  await fails(['--http', gateway.url], /^FAIL  health       NOT_SERVING/m);
  await good(['undrain'], {env});
});

test('a node that is away is told as that', async () => {
  const nobody = `127.0.0.1:${await freePort()}`;
  for (const command of [['node'], ['watch'], ['list', 'feeds']]) {
    await bad([...command, '--server', nobody], 1, /UNAVAILABLE.*refused.*\n.*vigilctl doctor/);
  }
});

test('a watch outlives its node', async () => {
  const port = String(await freePort());
  const start = () => Gateway.start({workers: 1, env: {VIGIL_GRPC_PORT: port}});
  let gateway = await start();
  const env = {VIGILCTL_SERVER: gateway.grpc};
  const watch = new RunningCtl(['watch'], {env});
  await watch.line(/^that is all/);
  await open(gateway, '/whep/dr-1', PLAY);
  await watch.line(/peer opened +dr-1/);
  await gateway.stop();
  await until('the loss to be told', () => /trying again/.test(watch.err));
  const before = watch.lines().length;
  gateway = await start();
  await watch.line(/^that is all/, before);
  assert.match(watch.err, /no longer has what was missed/);
  await open(gateway, '/whep/dr-2', PLAY);
  await watch.line(/peer opened +dr-2/, before);
  assert.equal((await watch.stop('SIGTERM')).code, 0);
  await gateway.stop();
});

test('a watch goes on behind what it has shown', async () => {
  const gateway = await Gateway.start({workers: 1});
  const {port} = new URL(`http://${gateway.grpc}`);
  const road = await TcpRoad.start(Number(port));
  const watch = new RunningCtl(['watch'], {env: {VIGILCTL_SERVER: `127.0.0.1:${road.port}`}});
  await watch.line(/^that is all/);
  await road.block();
  await until('the loss to be told', () => /trying again/.test(watch.err));
  await open(gateway, '/whep/dr-1', PLAY);  // While nobody sees it.
  road.unblock();
  await watch.line(/peer opened +dr-1/);
  assert.match(watch.err, /the node is back/);
  assert.equal(watch.lines().filter((line) => /^that is all/.test(line)).length, 1);
  assert.equal((await watch.stop()).code, 0);
  await road.close();
  await gateway.stop();
});

// What each shell makes of the script for it: the words that may stand where the last one is.
const COMPLETIONS = {
  bash: (script, words) => execFileSync('bash', ['-c', `${script}
    COMP_WORDS=(vigilctl "$@"); COMP_CWORD=$#
    _vigilctl; printf '%s\n' "\${COMPREPLY[@]}"`, 'bash', ...words], {encoding: 'utf8'}),
  // Its line editor needs a terminal: what would be shown there is printed, and chosen here.
  zsh: (script, words) => execFileSync('zsh', ['-f', '-c', `
    autoload -Uz compinit; compinit -D -u
    ${script}
    _describe() { print -rl -- "\${(@P)2}" }
    words=(vigilctl "$@"); CURRENT=$#words
    $_comps[vigilctl]`, 'zsh', ...words], {encoding: 'utf8'})
    .split('\n').map((line) => line.split(':')[0])
    .filter((word) => word.startsWith(words.at(-1))).join('\n'),
  fish: (script, words) => execFileSync('fish', ['--no-config', '-c', `${script}
    complete -C 'vigilctl ${words.join(' ')}'`], {encoding: 'utf8',
    env: {...process.env, HOME: folder.path}}).replaceAll(/\t.*/g, ''),
};

for (const [shell, complete] of Object.entries(COMPLETIONS)) {
  test(`the completion script is read by its shell: ${shell}`, async () => {
    const script = await good(['completion', shell]);
    for (const [words, expected] of [
      [['und'], 'undrain'], [['token', 're'], 'revoke'],
      [['--site', 'a', 'token', 'make', '--publ'], '--publish'], [['completion', 'z'], 'zsh'],
      [['list', 'f'], 'feeds']]) {
      assert.equal(complete(script, words).trimEnd(), expected, `${shell}: ${words.join(' ')}`);
    }
  });
}
