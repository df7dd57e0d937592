// What one site does changes nothing that another site is told, and tells it nothing. Two sites
// with the same names make random calls beside each other; each must be answered as if it were
// alone. VIGIL_SEED repeats a run.

import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import {after, before, test} from 'node:test';
import {isDeepStrictEqual} from 'node:util';

import {Gateway} from './lib/gateway.mjs';
import {
  Dice, PARTICIPANTS, PLAY, PUBLISH, SiteRun, makeScript, ownNames,
} from './lib/site_script.mjs';
import {Caller, Issuer, Normaliser, leaksIn} from './lib/sites.mjs';
import {seededRandom} from './lib/udp_proxy.mjs';
import {TemporaryFolder} from './lib/vigilctl.mjs';

const SEED = Number(process.env.VIGIL_SEED || crypto.randomInt(2 ** 31));
const SITES = ['alpha', 'beta'];
const CALLS = 270;
// A connection that no client takes up ends after 30 s, which would be an event of its own.
const LONGEST_RUN_MS = 25_000;

const folder = new TemporaryFolder();
const issuer = new Issuer(folder.path);
after(() => folder.remove());

const start = (env = {}) => Gateway.start({env: {
  VIGIL_AUTH_MODE: 'jwt', VIGIL_AUTH_KEYS_DIR: folder.path,
  VIGIL_LIMITS_CALLS_PER_SECOND: '100000', VIGIL_LIMITS_CALLS_AT_ONCE: '100000',
  // Few, so that a site comes to its limit: the other's connections must not count.
  VIGIL_LIMITS_PEERS_PER_PARTICIPANT: '6', ...env}});

// Everybody of a site, by `sub`. The same in each site on purpose.
function callersOf(gateway, sites, own = []) {
  const caller = (sub, claims) => new Caller(gateway, issuer.token({sub, sites, ...claims}));
  const callers = {desk: caller('desk', {roles: ['controller']}),
                   viewer: caller('viewer', {roles: ['viewer']})};
  for (const sub of [...PARTICIPANTS, ...own]) {
    callers[sub] = caller(sub, {
      roles: ['participant'], publish: [`${sub}/*`], subscribe: ['*']});
  }
  return callers;
}

// One site in one run: carries out its script step by step and keeps all that it is told.
class Tenant {
  transcript = [];
  #script;
  #callers;
  #sent = [];
  #watch;

  constructor(gateway, site, script, run) {
    this.site = site;
    this.run = run;
    this.#script = script;
    this.#callers = callersOf(gateway, [site], [ownNames(site).room]);
  }

  get done() { return this.#sent.length === this.#script.length; }

  async begin() { this.#watch = await this.#callers.viewer.watch(); }

  async step() {
    const step = this.#script[this.#sent.length];
    const request = step.repeats === undefined ? this.#fill(step) : this.#sent[step.repeats];
    this.#sent.push(request);
    const answer = await this.#ask(request);
    this.run.learn(answer, request.message);
    this.transcript.push({request, answer});
  }

  #fill({method, by, byHeader, message, requestId}) {
    return {method, by, byHeader, message: {...message(this.run), ...(requestId && {requestId})}};
  }

  async #ask({method, by, byHeader, message}) {
    const caller = this.#callers[by];
    if (method !== 'WatchMedia') return caller.call(method, message);
    const {resumeToken, ...rest} = message;
    const watch = byHeader && resumeToken
      ? await caller.watch(rest, {'Last-Event-ID': resumeToken}) : await caller.watch(message);
    if (watch.refusal) return watch.refusal;
    // What a foreign token must not open: a stream that goes on without a snapshot.
    const messages = await watch.upTo('a snapshot', ({data, type}) =>
      type === 'end' || (data.snapshot && !data.snapshot.partial));
    await watch.close();
    return {messages};
  }

  // Adds the events of the whole run, and checks that a watch that is resumed tells the same.
  async end(dice) {
    const message = {participant: 'the-end', feed: 'patient', sdpOffer: PUBLISH};
    const last = ({data}) => data.event?.feedPublished?.feed.feed === 'the-end/patient';
    const answer = await this.#callers.desk.call('Publish', message);
    assert.equal(answer.status, 200);
    this.run.learn(answer);
    const events = await this.#watch.upTo('the last event', last);
    for (let n = 0; n < 3; ++n) {
      const from = dice.below(events.length - 1);
      const again = await this.#callers.viewer.watch({}, {'Last-Event-ID': events[from].id});
      assert.deepEqual(await again.upTo('the last event', last), events.slice(from + 1));
      await again.close();
    }
    await this.#watch.close();
    for (const event of [...events, ...this.#watch.heartbeats]) {
      this.transcript.push({request: {method: 'the watch of the run'}, answer: event});
    }
  }

  normalised() {
    const normaliser = new Normaliser();
    return this.transcript.filter(({answer}) => !answer.data?.heartbeat)
      .map(({request: {method, by, message: {resumeToken, ...message} = {}}, answer}) =>
        // A foreign token is of another run in the one and of this run in the other.
        normaliser.apply({request: {method, by, message}, answer}));
  }

  // What the other site must never be told.
  secrets() {
    return new Set([...this.run.made.peers, ...this.run.made.etags.filter((e) => e.length > 7),
                    ...Object.values(ownNames(this.site))]);
  }
}

async function carryOut(tenants, dice) {
  const began = performance.now();
  for (const tenant of tenants) await tenant.begin();
  for (;;) {
    const left = tenants.filter((tenant) => !tenant.done);
    if (left.length === 0) break;
    // One after the other, and now and then at the same time.
    await Promise.all((dice.chance(0.3) ? left : [dice.of(left)]).map((tenant) => tenant.step()));
  }
  for (const tenant of tenants) await tenant.end(dice);
  const took = performance.now() - began;
  assert.ok(took < LONGEST_RUN_MS, `${took} ms: too slow a machine to compare what it did`);
}

async function withGateway(env, body) {
  const gateway = await start(env);
  try {
    await body(gateway);
  } finally {
    await gateway.stop();
  }
}

// Runs both sites beside each other, then each alone: {alpha: {beside, alone}, beta: ...}.
async function bothWays(seed, {length, ids}) {
  const scripts = {};
  const dice = new Dice(seededRandom(seed));
  for (const [n, site] of SITES.entries()) {
    const other = SITES[1 - n];
    scripts[site] = makeScript(dice, {site, other, length, ids: ids(dice)});
  }
  const runs = {};
  await withGateway({}, async (gateway) => {
    for (const site of SITES) {
      runs[site] = {beside: new Tenant(gateway, site, scripts[site], new SiteRun())};
    }
    const [a, b] = SITES.map((site) => runs[site].beside);
    a.run.neighbour = b.run;
    b.run.neighbour = a.run;
    await carryOut([a, b], new Dice(seededRandom(seed + 1)));
    await checkMetrics(gateway);
  });
  await Promise.all(SITES.map((site) => withGateway({}, async (gateway) => {
    const run = new SiteRun(runs[site].beside.run.took);
    runs[site].alone = new Tenant(gateway, site, scripts[site], run);
    await carryOut([runs[site].alone], new Dice(seededRandom(seed + 2)));
  })));
  return runs;
}

async function checkMetrics(gateway) {
  const text = await (await fetch(`${gateway.metrics}/metrics`)).text();
  assert.match(text, /vigil_/);
  for (const name of [...SITES, ...PARTICIPANTS, ...SITES.map((s) => ownNames(s).room)]) {
    assert.ok(!text.includes(name), `the metrics name ${name}`);
  }
}

// Where two transcripts differ: one sample of each method and reason, with how often.
function differences(beside, alone) {
  const kinds = new Map();
  for (let n = 0; n < Math.max(beside.length, alone.length); ++n) {
    if (isDeepStrictEqual(beside[n], alone[n])) continue;
    const {request, answer} = beside[n] ?? alone[n];
    const reason = answer.body?.details?.[0]?.debug?.reason ?? answer.status ?? '';
    const kind = `${request.method} ${reason}`;
    const known = kinds.get(kind) ?? {times: 0, step: n, beside: beside[n], alone: alone[n]};
    kinds.set(kind, {...known, times: known.times + 1});
  }
  return [...kinds].map(([kind, {times, step, ...both}]) =>
    `${kind}, ${times} times, first at step ${step}:\n` +
    Object.entries(both).map(([how, entry]) => `  ${how}: ${shorten(entry)}`).join('\n'));
}

const shorten = (entry) =>
  JSON.stringify(entry, (key, value) => (/sdp/i.test(key) ? '...' : value))?.slice(0, 700);

function checkApart(runs, seed) {
  for (const site of SITES) {
    const {beside, alone} = runs[site];
    const found = differences(beside.normalised(), alone.normalised());
    assert.deepEqual(found, [], `${site} was answered otherwise beside the other site ` +
                     `(VIGIL_SEED=${seed}):\n${found.join('\n')}`);
  }
}

function checkNothingLeaks(runs, seed) {
  for (const [n, site] of SITES.entries()) {
    const secrets = runs[SITES[1 - n]].beside.secrets();
    assert.ok(secrets.size > 20, 'the other site has secrets');
    for (const entry of runs[site].beside.transcript) {
      assert.deepEqual(leaksIn(entry, secrets), [],
                       `${site} was told (VIGIL_SEED=${seed}): ${shorten(entry)}`);
    }
  }
}

const ownIds = (dice) => Array.from({length: 40}, () => dice.uuid());

// Carried out by the first test, judged by the next ones.
let runs;
test('random calls of two sites', {timeout: 120_000}, async () => {
  runs = await bothWays(SEED, {length: CALLS, ids: ownIds});
  for (const site of SITES) {
    const reasons = new Set();
    for (const {answer} of runs[site].beside.transcript) {
      reasons.add(reasonOf(answer) ?? answer.status);
    }
    // Else the calls do not reach what they are to try.
    for (const reason of [200, 'FIELD_INVALID', 'NOT_GRANTED', 'PEER_NOT_FOUND', 'FEED_NOT_FOUND',
                          'SLOT_UNFIT', 'QUOTA_EXCEEDED', 'FEED_HELD', 'REQUEST_ID_REUSED',
                          'PAGE_TOKEN_INVALID']) {
      assert.ok(reasons.has(reason), `no call was answered ${reason} (VIGIL_SEED=${SEED})`);
    }
  }
});

test('a site is answered as if it were alone', () => checkApart(runs, SEED));

test('a site is told nothing of the other', () => checkNothingLeaks(runs, SEED));

test('request ids of one site mean nothing in the other', {timeout: 120_000}, async () => {
  // Few, so that both sites often use the same one.
  const shared = ownIds(new Dice(seededRandom(SEED + 3))).slice(0, 4);
  const both = await bothWays(SEED + 4, {length: CALLS / 3, ids: () => shared});
  checkNothingLeaks(both, SEED);
  checkApart(both, SEED);
});

test('a leak would be found', () => {
  const entry = {request: {method: 'ListFeeds', message: {}}, answer: {status: 200, body: {}}};
  const secrets = new Set(['beta-only-room', 'f'.repeat(32)]);
  const leaks = (change) => leaksIn({...structuredClone(entry), ...change}, secrets);
  assert.deepEqual(leaks({}), []);
  for (const answer of [
    {body: {feeds: [{feed: 'beta-only-room/patient'}]}}, {headers: {etag: 'beta-only-room'}},
    {body: {message: 'feed beta-only-room/patient is held'}}, {messages: ['beta-only-room']},
    {body: {nextPageToken: Buffer.from('beta beta-only-room').toString('base64url')}}]) {
    assert.deepEqual(leaks({answer}), ['beta-only-room'], JSON.stringify(answer));
  }
  assert.deepEqual(leaks({answer: {id: 'f'.repeat(32)}}), ['f'.repeat(32)]);
  assert.deepEqual(leaks({request: {message: {feed: 'beta-only-room/patient'}},
                          answer: {body: {message: 'no feed beta-only-room/patient'}}}), []);
  // The same in a real transcript, and as a difference of two.
  const normal = runs.alpha.beside.normalised();
  for (const change of [{status: 299}, {headers: {'x-site': 'beta'}}, {body: {slots: 1}}]) {
    const other = structuredClone(normal);
    Object.assign(other[7].answer, change);
    assert.equal(differences(normal, other).length, 1, JSON.stringify(change));
  }
  assert.equal(differences(normal, normal.slice(0, -1)).length, 1);
  const {beside} = runs.alpha;
  beside.transcript.push({...entry, answer: {body: {peer: runs.beta.beside.run.made.peers[0]}}});
  assert.throws(() => checkNothingLeaks(runs, SEED), /alpha was told/);
  beside.transcript.pop();
});

const reasonOf = (answer) => answer.body?.details?.[0]?.debug?.reason;

async function good(caller, method, message) {
  const answer = await caller.call(method, message);
  assert.equal(answer.status, 200, JSON.stringify(answer));
  return answer.body;
}

let gateway;
let alpha;
let beta;
let both;
before(async () => {
  gateway = await start();
  alpha = callersOf(gateway, ['alpha']);
  beta = callersOf(gateway, ['beta']);
  both = callersOf(gateway, SITES).desk;
});
after(() => gateway?.stop());

const secretRoom = {participant: 'beta-only-room', feed: 'beta-only-feed', sdpOffer: PUBLISH};
// In each test anew: nobody takes the connection up, so it ends after a while.
async function publishBoth() {
  await good(alpha.desk, 'Publish', {participant: 'room-1', feed: 'patient', sdpOffer: PUBLISH});
  await good(beta.desk, 'Publish', secretRoom);
}

const playOf = (participant) => ({participant, sdpOffer: PLAY});

test('what another site has is as what nobody has', async () => {
  await publishBoth();
  const {peer, etag} = await good(beta.desk, 'Subscribe', playOf('beta-only-room'));
  const own = await good(alpha.desk, 'Subscribe', playOf('dr-1'));
  const ice = {iceUfrag: 'abcdefgh', icePwd: 'p'.repeat(24)};
  const nobody = '0123456789abcdef'.repeat(2);
  const token = (text) => Buffer.from(text).toString('base64url');
  const probes = [
    ...[(p) => ['ClosePeer', {peer: p}], (p) => ['RestartIce', {peer: p, etag: '*', ...ice}],
        (p) => ['RestartIce', {peer: p, etag, ...ice}], (p) => ['SelectLayer', {peer: p}],
        (p) => ['AssignSlot', {peer: p, feed: 'room-1/patient'}],
        (p) => ['AssignSlot', {peer: p, slot: 9}]].map((make) => [make, peer, nobody]),
    ...['ListFeeds', 'ListParticipants', 'GetStats'].flatMap((method) => [
      [(site) => [method, {site}], 'beta', 'nosite'],
      [(pageToken) => [method, {pageToken}], token('beta beta-only-room'), token('beta zzz')]]),
    [(participant) => ['GetStats', {participant}], 'beta-only-room', 'nobody'],
    [(namePrefix) => ['ListFeeds', {namePrefix}], 'beta-only', 'nobody'],
    [(site) => ['Publish', {...secretRoom, site}], 'beta', 'nosite'],
    [(site) => ['Subscribe', {...playOf('dr-1'), site}], 'beta', 'nosite'],
    [(name) => ['Subscribe', {...playOf('dr-1'), feeds: [name]}],
     'beta/beta-only-room/beta-only-feed', 'nosite/beta-only-room/beta-only-feed'],
    ...['beta-only-room/beta-only-feed', 'beta/beta-only-room/beta-only-feed'].flatMap((name) => [
      [(feed) => ['RequestKeyframe', {feed}], name, name.replace(/beta/g, 'none')],
      [(feed) => ['AssignSlot', {peer: own.peer, feed}], name, name.replace(/beta/g, 'none')]]),
  ];
  for (const [make, there, nowhere] of probes) {
    for (const caller of [alpha.desk, alpha.viewer, alpha['dr-1']]) {
      const answers = await Promise.all([there, nowhere].map((value) =>
        caller.call(...make(value))));
      const texts = answers.map((answer, n) => withoutValue(answer, [there, nowhere][n]));
      assert.equal(texts[0], texts[1], JSON.stringify(make(there)));
    }
  }
  await good(beta.desk, 'SelectLayer', {peer, slot: 0});  // Nothing of that has touched it.
});

// The error detail as protobuf says the same as the one in JSON.
function withoutValue(answer, value) {
  const copy = structuredClone(answer);
  for (const detail of copy.body?.details ?? []) delete detail.value;
  return JSON.stringify(copy).replaceAll(value, '...');
}

test('WHIP and WHEP', async () => {
  const {peer} = await good(beta.desk, 'Subscribe', playOf('dr-1'));
  const nobody = 'f'.repeat(32);
  for (const kind of ['whip', 'whep']) {
    for (const [method, body] of [['DELETE'], ['PATCH', 'a=ice-ufrag:abcdefgh\r\n'], ['GET']]) {
      for (const path of kind === 'whip' ? ['room-1/patient'] : ['dr-1', 'room-1/patient']) {
        const answers = await Promise.all([peer, nobody].map(async (id) => {
          const answer = await alpha.desk.http(method, `/${kind}/${path}/${id}`, body);
          return withoutValue(answer, id);
        }));
        assert.equal(answers[0], answers[1], `${method} ${kind} ${path}`);
      }
    }
  }
  // It was the right path, and the connection is still there.
  assert.equal((await beta.desk.http('DELETE', `/whep/dr-1/${peer}`)).status, 200);
});

test('a retry of the one site is not answered with the other\'s connection', async () => {
  const request = {...playOf('room-2'), requestId: crypto.randomUUID()};
  const first = await good(beta.desk, 'Subscribe', request);
  assert.deepEqual(await good(beta.desk, 'Subscribe', request), first, 'a retry has one effect');
  const answer = await alpha.desk.call('Subscribe', request);
  assert.equal(answer.status, 200, JSON.stringify(answer));
  assert.notEqual(answer.body.peer, first.peer, 'alpha was given beta\'s connection');
  const other = await alpha.desk.call('Subscribe', {...request, participant: 'room-1'});
  assert.equal(reasonOf(other), 'REQUEST_ID_REUSED', 'within a site');
});

test('what a site may not ask for is not answered because the other has asked for it', async () => {
  const request = {...playOf('room-2'), site: 'beta', requestId: crypto.randomUUID()};
  await good(beta.desk, 'Subscribe', request);
  const answer = await alpha.desk.call('Subscribe', request);
  assert.equal(reasonOf(answer), 'NOT_GRANTED', shorten(answer));
});

test('a site may use up its own limits only', async () => {
  await withGateway({
    VIGIL_LIMITS_CALLS_PER_SECOND: '1', VIGIL_LIMITS_CALLS_AT_ONCE: '10',
    VIGIL_LIMITS_STREAMS_PER_CALLER: '2'}, async (strict) => {
    const [a, b] = SITES.map((site) => callersOf(strict, [site]));
    const watches = [await b.viewer.watch(), await b.viewer.watch(), await b.viewer.watch()];
    assert.equal(reasonOf(watches[2].refusal), 'QUOTA_EXCEEDED');
    watches.push(await a.viewer.watch());
    const refused = [reasonOf(watches[3].refusal ?? {})];
    for (const watch of watches) await watch.close();
    const answers = await Promise.all(Array.from({length: 30}, () => b.desk.call('ListFeeds', {})));
    assert.ok(answers.some((answer) => reasonOf(answer) === 'RATE_LIMITED'));
    refused.push(reasonOf(await a.desk.call('ListFeeds', {})));
    assert.deepEqual(refused, [undefined, undefined], 'alpha pays for what beta did');
  });
});

test('a token of both sites sees both, and each site still only itself', async () => {
  await publishBoth();
  const watch = await alpha.viewer.watch();
  const seen = await good(both, 'ListFeeds', {});
  assert.deepEqual(new Set(seen.feeds.map((feed) => feed.site)), new Set(SITES));
  assert.equal(reasonOf(await both.call('Subscribe', playOf('dr-1'))), 'SITE_REQUIRED');
  const {peer} = await good(alpha.desk, 'Subscribe', playOf('dr-1'));
  const guest = await good(both, 'Subscribe', {
    ...playOf('guest'), site: 'beta', feeds: ['alpha/room-1/patient']});
  const secret = 'beta/beta-only-room/beta-only-feed';
  for (const slot of [0, 1]) await good(both, 'AssignSlot', {peer, slot, feed: secret});
  await good(alpha.desk, 'AssignSlot', {peer, slot: 0, feed: 'room-1/patient'});
  const messages = await watch.upTo('the last assignment', ({data}) =>
    data.event?.slotAssigned?.slot.feed === 'room-1/patient');
  await watch.close();
  const fresh = await alpha.viewer.watch();
  const snapshot = await fresh.upTo('a snapshot', ({data}) => data.snapshot);
  await fresh.close();
  const told = {messages, snapshot};
  for (const method of ['ListParticipants', 'ListFeeds', 'GetStats']) {
    told[method] = await alpha.desk.call(method, {});
    assert.match(JSON.stringify(await both.call(method, {})), /beta-only-room/);
  }
  const secrets = new Set(['beta', guest.peer, guest.etag]);
  for (const [what, answer] of Object.entries(told)) {
    assert.deepEqual(leaksIn({request: {}, answer}, secrets), [], what);
  }
  for (const what of ['messages', 'snapshot', 'ListParticipants', 'GetStats']) {
    assert.match(JSON.stringify(told[what]), /"feed":"-"/, `${what} shows that the slot is taken`);
  }
  const slotsSeenBy = async (caller) => (await good(caller, 'ListFeeds', {site: 'alpha'})).feeds
    .find(({feed}) => feed === 'room-1/patient').slots;
  assert.equal(await slotsSeenBy(both), await slotsSeenBy(alpha.desk) + 2);
  // How to resume the watch of both is nothing for a watch of one.
  const wide = await both.watch();
  const [{id}] = await wide.upTo('a snapshot', ({data}) => data.snapshot);
  await wide.close();
  const narrow = await alpha.viewer.watch({}, {'Last-Event-ID': id});
  const [first] = await narrow.upTo('a snapshot', ({data}) => data.snapshot);
  assert.ok(first.data.snapshot, 'not resumed');
  await narrow.close();
  await checkMetrics(gateway);
});
