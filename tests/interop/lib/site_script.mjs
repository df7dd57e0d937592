// Random calls of one site, the same again for the same seed. A step is drawn before the run and
// says whom it is about by a place in the list of what the run has made until then.

import fs from 'node:fs';

const fixture = (name) => fs.readFileSync(
  new URL(`../../fixtures/sdp/${name}.sdp`, import.meta.url), 'utf8');

// An offer with only one of its sections.
function only(offer, section) {
  const [head, ...sections] = offer.split(/^(?=m=)/m);
  return head.replace(/^a=group:BUNDLE .*$/m, `a=group:BUNDLE ${section}`) + sections[section];
}

export const PUBLISH = fixture('chromium-publish');
export const PLAY = fixture('chromium-play');
const SOUND = only(PUBLISH, 0);
const PICTURE = only(PUBLISH, 1);

export const PARTICIPANTS = ['room-1', 'room-2', 'dr-1'];
const FEEDS = ['patient', 'scanner', 'sound'];
const DEVICES = {patient: '', scanner: 'device-1', sound: 'device-1'};
const OFFERS = {patient: PUBLISH, scanner: PICTURE, sound: SOUND};
const LISTS = ['ListParticipants', 'ListFeeds', 'GetStats'];

// What only the one site has. Its calls use these names beside those of both; the other's calls
// only ask for them.
export const ownNames = (site) => ({
  room: `${site}-only-room`, feed: `${site}-only-feed`, device: `${site}-only-device`});

// Draws from a seed what a script needs.
export class Dice {
  #random;
  constructor(random) { this.#random = random; }
  part() { return this.#random(); }
  below(n) { return Math.floor(this.#random() * n); }
  of(list) { return list[this.below(list.length)]; }
  chance(p) { return this.#random() < p; }
  hex(digits) { return Array.from({length: digits}, () => this.below(16).toString(16)).join(''); }
  uuid() {
    return [8, 4, 4, 4, 12].map((digits) => this.hex(digits)).join('-');
  }
}

const participantOf = (dice, site) =>
  (dice.chance(0.2) ? ownNames(site).room : dice.of(PARTICIPANTS));

// A feed: mostly one that was published, else a name that may be right, wrong, or another site's.
function someFeed(dice, site, other) {
  const place = dice.part();
  const name = feedName(dice, site, other);
  return dice.chance(0.6) ? (run) => run.own('feeds', place) ?? name : () => name;
}

function feedName(dice, site, other) {
  const feed = dice.of(FEEDS);
  const plain = `${dice.of(PARTICIPANTS)}/${feed}`;
  return dice.of([plain, plain, plain, plain, `${site}/${plain}`, `${other}/${plain}`, `-/${feed}`,
                  `${ownNames(other).room}/${ownNames(other).feed}`, 'nobody/patient', 'A b', '//',
                  `${other}/${ownNames(other).room}/${ownNames(other).feed}`, `nosite/${plain}`]);
}

// The site field of a request: mostly left out or right.
const siteField = (dice, site, other) =>
  dice.of(['', '', '', '', '', '', site, site, site, other, 'nosite', 'Not a site']);

// A connection: mostly one of one's own, sometimes another site's or one that never was.
function somePeer(dice, kind = 'peers') {
  const place = dice.part();
  const stranger = dice.hex(32);
  if (dice.chance(0.7)) return (run) => run.own(kind, place) ?? stranger;
  if (dice.chance(0.7)) return (run) => run.foreign(kind, place) ?? stranger;
  return () => stranger;
}

// Each draws one call: {method, by, message(run)}; `by` is who calls.
const KINDS = {
  publish(dice, site, other) {
    const own = dice.chance(0.15);
    const participant = own ? ownNames(site).room : dice.of(PARTICIPANTS);
    const feed = own ? ownNames(site).feed : dice.of(FEEDS);
    const by = dice.of(['desk', 'desk', participant, 'room-1', 'viewer']);
    const message = {site: siteField(dice, site, other), participant, feed,
                     sdpOffer: dice.chance(0.05) ? 'v=0' : OFFERS[feed] ?? PUBLISH,
                     device: own ? ownNames(site).device : DEVICES[feed]};
    return {method: 'Publish', by, message: () => message};
  },
  subscribe(dice, site, other) {
    const participant = participantOf(dice, site);
    const feeds = Array.from({length: dice.below(3)},
                             () => `${dice.of(PARTICIPANTS)}/${dice.of(FEEDS)}`);
    if (dice.chance(0.15)) feeds.push(`${other}/room-1/patient`);
    if (dice.chance(0.15)) feeds.push(`${site}/room-1/patient`);
    const message = {site: siteField(dice, site, other), participant, feeds, sdpOffer: PLAY,
                     device: dice.chance(0.05) ? 'no device' : dice.of(['', 'device-1'])};
    return {method: 'Subscribe', by: dice.of(['desk', 'desk', 'dr-1']), message: () => message};
  },
  assign(dice, site, other) {
    const peer = somePeer(dice, dice.of(['receivers', 'receivers', 'receivers', 'peers']));
    const slot = dice.of([0, 0, 1, 1, 1, 2]);
    const feed = dice.chance(0.1) ? () => '' : someFeed(dice, site, other);
    return {method: 'AssignSlot', by: dice.of(['desk', 'desk', 'desk', 'dr-1']),
            message: (run) => ({peer: peer(run), slot, feed: feed(run)})};
  },
  layer(dice) {
    const peer = somePeer(dice);
    const slot = dice.below(3);
    const layer = dice.below(5);
    return {method: 'SelectLayer', by: 'desk',
            message: (run) => ({peer: peer(run), slot, layer})};
  },
  keyframe(dice, site, other) {
    const named = siteField(dice, site, other);
    const feed = someFeed(dice, site, other);
    return {method: 'RequestKeyframe', by: dice.of(['desk', 'dr-1']),
            message: (run) => ({site: named, feed: feed(run)})};
  },
  restart(dice) {
    const peer = somePeer(dice);
    const place = dice.part();
    const any = dice.chance(0.5);
    const foreign = dice.chance(0.3);
    const message = {iceUfrag: dice.chance(0.1) ? 'x' : dice.hex(8), icePwd: dice.hex(24)};
    return {method: 'RestartIce', by: 'desk', message: (run) => {
      const etag = foreign ? run.foreign('etags', place) : run.own('etags', place);
      return {peer: peer(run), etag: any ? '*' : etag ?? 'none', ...message};
    }};
  },
  close(dice) {
    const peer = somePeer(dice);
    return {method: 'ClosePeer', by: dice.of(['desk', 'dr-1']),
            message: (run) => ({peer: peer(run)})};
  },
  list(dice, site, other) {
    const place = dice.part();
    const from = dice.of(['start', 'own', 'own', 'foreign', 'made', 'junk']);
    const made = Buffer.from(`${other} ${dice.of(['room-1', ownNames(other).room])}`);
    const method = dice.of(LISTS);
    const name = dice.of(['', '', '', 'room', ownNames(other).room, ownNames(site).room]);
    const message = {site: siteField(dice, site, other), pageSize: dice.of([0, 1, 1, 2, 3, 5000]),
                     ...(method === 'GetStats' ? {participant: name} : {namePrefix: name})};
    return {method, by: dice.of(['viewer', 'viewer', 'desk', 'dr-1']), message: (run) => ({
      ...message,
      pageToken: {
        start: '', own: run.own('pages', place) ?? '', foreign: run.foreign('pages', place) ?? '',
        made: made.toString('base64url'), junk: '???'}[from]})};
  },
  watch(dice, site, other) {
    const place = dice.part();
    const from = dice.of(['start', 'foreign', 'foreign', 'junk']);
    const named = siteField(dice, site, other);
    const byHeader = dice.chance(0.5);
    return {method: 'WatchMedia', by: 'viewer', byHeader, message: (run) => ({
      ...(named && {site: named}),
      resumeToken: {start: '', foreign: run.foreign('places', place) ?? '', junk: '???'}[from]})};
  },
};
const WEIGHTS = {publish: 6, subscribe: 5, assign: 8, layer: 2, keyframe: 3, restart: 3, close: 2,
                 list: 8, watch: 1};
const BAG = Object.entries(WEIGHTS).flatMap(([kind, weight]) => Array(weight).fill(kind));
const MUTATIONS = new Set(['publish', 'subscribe', 'assign', 'layer', 'keyframe', 'restart',
                           'close']);

// `ids`: request ids that mutations draw from, so some are used twice.
export function makeScript(dice, {site, other, length, ids}) {
  const steps = [];
  while (steps.length < length) {
    const before = steps.length - 1 - dice.below(10);
    if (steps[before] && !steps[before].once && dice.chance(0.06)) {
      steps.push({repeats: steps[before].repeats ?? before});
      continue;
    }
    const kind = dice.of(BAG);
    const step = KINDS[kind](dice, site, other);
    const requestId = MUTATIONS.has(kind) && dice.chance(0.5) ? dice.of(ids) : '';
    steps.push(requestId ? {...step, requestId} : step);
    if (steps.length % 50 === 25) steps.push(...scenes(dice, steps.length));
  }
  return steps;
}

// What chance would bring about too seldom. A feed is held by its device for the first 3 s only, so
// the second device comes right behind, and once.
function scenes(dice, n) {
  const step = (method, message) => ({
    method, by: 'desk', message: typeof message === 'function' ? message : () => message});
  const publish = {participant: `holder-${n}`, feed: 'patient', sdpOffer: PUBLISH};
  const sound = {participant: `holder-${n}`, feed: 'sound', sdpOffer: SOUND};
  const play = {participant: `crowd-${n}`, sdpOffer: PLAY};
  const newest = 1 - Number.EPSILON;
  const id = dice.uuid();
  return [
    ...['device-1', 'device-2'].map((device) => (
      {...step('Publish', {...publish, device}), once: true})),
    step('Publish', sound), step('Subscribe', play),
    ...[0, 1].map((slot) => step('AssignSlot', (run) => (
      {peer: run.own('receivers', newest), slot, feed: `holder-${n}/sound`}))),
    ...[1, 2].map((device) => step('Subscribe', {...play, device: `${device}`, requestId: id})),
    ...Array.from({length: 5}, () => step('Subscribe', play)),
  ];
}

// What one site has made and been told in one run, and what it took over from the other site.
// `taken`: null to take it from `neighbour`, else what was taken in the run before, so that both
// runs send the same.
export class SiteRun {
  made = {peers: [], receivers: [], feeds: [], etags: [], pages: [], places: []};
  neighbour = null;
  took = [];
  #taken;

  constructor(taken = null) { this.#taken = taken && [...taken]; }

  own(kind, place) { return pick(this.made[kind], place); }

  foreign(kind, place) {
    const value = this.#taken ? this.#taken.shift() : pick(this.neighbour.made[kind], place);
    this.took.push(value);
    return value;
  }

  learn(answer, {participant, feed} = {}) {
    if (answer.body?.peer && feed) this.made.feeds.push(`${participant}/${feed}`);
    if (answer.body?.peer) this.made.peers.push(answer.body.peer);
    if (answer.body?.slots) this.made.receivers.push(answer.body.peer);
    if (answer.body?.etag) this.made.etags.push(answer.body.etag);
    if (answer.body?.nextPageToken) this.made.pages.push(answer.body.nextPageToken);
    for (const {id} of answer.messages ?? []) if (id) this.made.places.push(id);
  }
}

// Later ones rather than earlier ones: those may have ended.
const pick = (list, place) => list[Math.floor(list.length * Math.sqrt(place))];
