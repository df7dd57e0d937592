// Who is let in, with what, for how long; by every way that HTTP offers.

import assert from 'node:assert/strict';
import {after, before, describe, test} from 'node:test';

import {Gateway} from './lib/gateway.mjs';
import {EventReader, bearer, call, exchange, offerOf} from './lib/http.mjs';
import {GRANTS, Issuer, nowSeconds} from './lib/tokens.mjs';
import {until} from './lib/until.mjs';

const PUBLISH = offerOf('chromium-publish');
const PLAY = offerOf('chromium-play');
const SDP = {'Content-Type': 'application/sdp'};
// A name and a site that nothing else has, to be looked for in the log.
const SECRET_NAME = 'mrs-example-1951';

let gateway;
let issuer;
const used = [];  // Every token that was shown to the gateway.

before(async () => {
  issuer = new Issuer();
  gateway = await Gateway.start({env: {...issuer.env, VIGIL_LOG_LEVEL: 'debug'}});
});

after(async () => {
  await gateway?.stop();
  issuer?.remove();
});

function show(token) {
  if (token) used.push(token);
  return bearer(token);
}

const list = (token) => call(gateway.url, 'MediaService/ListFeeds', {}, show(token));
const watch = (token, query = '') =>
  EventReader.open(`${gateway.url}/v1/events/media${query}`, {headers: show(token)});
const post = (path, token, body = PUBLISH) => exchange(gateway.url + path, {
  method: 'POST', body, headers: {...SDP, ...show(token)}});
const reasonOf = ({reply}) => reply.details?.[0]?.debug?.reason;

const REFUSED = [
  {what: 'no token', token: () => undefined, reason: 'TOKEN_MISSING'},
  {what: 'an empty one', token: () => ' ', reason: 'TOKEN_MISSING'},
  {what: 'no JWT', token: () => 'abc'},
  {what: 'two parts', token: () => issuer.token().split('.').slice(0, 2).join('.')},
  {what: 'a header that is no JSON', token: () => `abc.${issuer.token().split('.')[1]}.x`},
  {what: 'nine kilobytes', token: () => 'x'.repeat(9 * 1024)},
  {what: 'alg none', token: () => issuer.unsigned()},
  {what: 'HS256 with the public key', token: () => issuer.confused()},
  {what: 'another signature', token: () => `${issuer.token().slice(0, -8)}AAAAAAAA`},
  {what: 'other claims under the signature', token: () => {
    const [head, , signature] = issuer.token().split('.');
    return [head, issuer.token({grants: GRANTS.operator}).split('.')[1], signature].join('.');
  }},
  {what: 'a kid that is not known', token: () => {
    issuer.addKey('hidden');
    issuer.removeKey('hidden');
    return issuer.token({kid: 'hidden'});
  }},
  {what: 'a kid of another key', token: () => issuer.token({kid: 'first', key: 'hidden'})},
  {what: 'a kid that is a path', token: () => issuer.token({kid: '../first', key: 'first'})},
  {what: 'no kid', token: () => issuer.token({kid: null, key: 'first'})},
  {what: 'another audience', token: () => issuer.token({aud: 'billing'})},
  {what: 'no audience', token: () => issuer.token({aud: undefined})},
  {what: 'no end', token: () => issuer.token({exp: undefined})},
  {what: 'no jti', token: () => issuer.token({jti: undefined})},
  {what: 'no sub', token: () => issuer.token({sub: undefined})},
  {what: 'a sub that is no name', token: () => issuer.token({sub: 'Dr X'})},
  {what: 'no grants', token: () => issuer.token({vigil: undefined})},
  {what: 'grants of another kind', token: () => issuer.token({grants: {sites: 'north'}})},
  {what: 'expired', token: () => issuer.token({exp: nowSeconds() - 120}), reason: 'TOKEN_EXPIRED'},
  {what: 'not valid yet', token: () => issuer.token({nbf: nowSeconds() + 120})},
];

describe('who is not let in', () => {
  for (const {what, token, reason = 'TOKEN_INVALID'} of REFUSED) {
    test(what, async () => {
      const shown = token();
      const answer = await list(shown);
      assert.equal(answer.status, 401);
      assert.equal(answer.reply.code, 'unauthenticated');
      assert.equal(reasonOf(answer), reason, answer.reply.message);
      const events = await watch(shown);
      events.close();
      assert.equal(events.status, 401);
    });
  }

  test('a token in the query is none', async () => {
    const events = await watch(undefined, `?access_token=${issuer.token()}`);
    events.close();
    assert.notEqual(events.status, 200);
  });

  test('who guesses is slowed down, and whoever is known is not', async () => {
    const slowed = await until('a guess that was too many', async () => {
      const answers = await Promise.all(Array.from({length: 100}, (_, n) => list(`abc.${n}`)));
      return answers.find(({status}) => status === 429);
    });
    assert.equal(reasonOf(slowed), 'RATE_LIMITED');
    assert.match(slowed.headers['retry-after'][0], /^\d+$/);
    assert.equal((await list(issuer.token())).status, 200);
  });
});

describe('who is let in', () => {
  test('one of several audiences is enough, and clocks may differ a little', async () => {
    for (const claims of [{aud: ['billing', 'vigil-test']}, {exp: nowSeconds() - 5},
                          {nbf: nowSeconds() + 5}]) {
      const answer = await list(issuer.token(claims));
      assert.equal(answer.status, 200, JSON.stringify(claims));
    }
  });

  test('roles say which methods', async () => {
    const rows = [
      ['MediaService/ListFeeds', {viewer: 200, controller: 200, operator: 200, participant: 403}],
      ['NodeService/GetNode', {viewer: 403, controller: 403, operator: 200, participant: 403}],
      ['NodeService/Undrain', {viewer: 403, controller: 403, operator: 200, participant: 403}],
    ];
    for (const [method, wanted] of rows) {
      for (const [role, status] of Object.entries(wanted)) {
        const token = role === 'participant' ? issuer.participant('room-1') :
          issuer.token({grants: GRANTS[role]});
        const answer = await call(gateway.url, method, {}, show(token));
        assert.equal(answer.status, status, `${method} as ${role}: ${answer.body}`);
        if (status === 403) {
          assert.equal(reasonOf(answer), 'NOT_GRANTED');
          assert.equal(answer.reply.details[0].debug.metadata.grant, 'roles');
        }
      }
    }
  });

  test('a site sees nothing of another', async () => {
    const site = (name) => issuer.token({grants: {sites: [name], roles: ['controller']}});
    const south = await watch(site('south'));
    assert.equal((await post('/whip/alone/patient', site('north'))).status, 201);
    const feeds = async (name) => (await list(site(name))).reply.feeds ?? [];
    await until('the feed', async () =>
      (await feeds('north')).some(({feed}) => feed === 'alone/patient'));
    assert.deepEqual(await feeds('south'), []);
    const named = await call(gateway.url, 'MediaService/ListFeeds', {site: 'north'},
                             show(site('south')));
    assert.equal(named.status, 403);
    // What happens at home comes, and nothing came before it but the snapshot.
    assert.equal((await post('/whip/home/patient', site('south'))).status, 201);
    await until('news of its own site', () => south.events.length > 1);
    south.close();
    assert.ok(!JSON.stringify(south.events).includes('alone'));
    assert.equal(south.kinds()[0], 'snapshot');
  });
});

describe('what a participant may', () => {
  test('it publishes, receives and is given what its token says', async () => {
    const own = issuer.participant('room-3', ['room-3/patient'], ['room-4/*']);
    assert.equal((await post('/whip/room-3/patient', own)).status, 201);
    assert.equal((await post('/whip/room-3/second', own)).status, 403);
    assert.equal((await post('/whip/room-4/patient', own)).status, 403);
    assert.equal((await post('/whep/room-3?feeds=room-4/patient', own, PLAY)).status, 201);
    assert.equal((await post('/whep/room-3?feeds=room-5/patient', own, PLAY)).status, 403);
    assert.equal((await post('/whep/room-4', own, PLAY)).status, 403);
  });

  test('a slot is given only what its owner\'s caller may receive', async () => {
    const own = issuer.participant('room-6', [], ['room-7/*']);
    const played = await post('/whep/room-6', own, PLAY);
    const peer = played.headers.location[0].split('/').at(-1);
    const assign = (token, feed) => call(gateway.url, 'MediaService/AssignSlot',
                                         {peer, slot: 1, feed}, show(token));
    const refused = await assign(own, 'room-8/patient');
    assert.equal(refused.status, 403, refused.body);
    assert.equal(refused.reply.details[0].debug.metadata.grant, 'subscribe');
    const other = await assign(issuer.participant('room-9'), 'room-7/patient');
    assert.equal(other.status, 404, 'another\'s connection is none');
    const controller = issuer.token({grants: GRANTS.controller});
    for (const token of [own, controller]) {
      const answer = await assign(token, 'room-7/patient');
      // Nobody publishes it: but that is what is said then.
      assert.ok([200, 404].includes(answer.status), answer.body);
    }
  });
});

describe('what ends', () => {
  const endOf = async (events) => {
    await until('the end of the stream', () => events.ended, {withinMs: 30_000});
    return events.events.at(-1);
  };

  test('a stream ends when its token expires', {timeout: 60_000}, async () => {
    // The leeway is 30 s: it has a moment left.
    const token = issuer.token({exp: nowSeconds() - 28});
    const events = await watch(token);
    assert.equal(events.status, 200);
    const last = await endOf(events);
    assert.equal(last.event, 'end');
    assert.equal(last.message.details[0].debug.reason, 'TOKEN_EXPIRED');
    assert.equal((await list(token)).status, 401);
  });

  test('a stream ends when its token is withdrawn, and others do not', {timeout: 60_000},
       async () => {
    const token = issuer.token({jti: 'to-be-withdrawn'});
    const [events, other] = await Promise.all([watch(token), watch(issuer.token())]);
    assert.equal((await list(token)).status, 200);
    issuer.revoke('to-be-withdrawn');
    const last = await endOf(events);
    assert.equal(last.message.details[0].debug.reason, 'TOKEN_REVOKED');
    const answer = await list(token);
    assert.equal(answer.status, 401);
    assert.equal(reasonOf(answer), 'TOKEN_REVOKED');
    assert.equal(other.ended, false);
    other.close();
  });

  test('a new key lets in, and with the old one its tokens and streams go', {timeout: 60_000},
       async () => {
    const old = issuer.token({kid: 'first'});
    const events = await watch(old);
    issuer.addKey('second');
    await until('the new key', async () =>
      (await list(issuer.token({kid: 'second'}))).status === 200, {everyMs: 500});
    assert.equal((await list(old)).status, 200, 'both keys hold meanwhile');
    issuer.removeKey('first');
    const last = await endOf(events);
    assert.equal(last.message.details[0].debug.reason, 'TOKEN_INVALID');
    assert.equal((await list(old)).status, 401);
    assert.equal((await list(issuer.token({kid: 'second'}))).status, 200);
  });

  test('without a single key the last ones stand', {timeout: 60_000}, async () => {
    issuer.removeKey('second');
    await until('that it was noticed', () => gateway.log.includes('token keys not read'));
    const answer = await list(issuer.token({kid: 'second'}));
    assert.equal(answer.status, 200);
  });
});

test('neither tokens nor names of participants are in the log', async () => {
  const token = issuer.participant(SECRET_NAME);
  assert.equal((await post(`/whip/${SECRET_NAME}/patient`, issuer.token(
    {kid: 'second', sub: SECRET_NAME, grants: GRANTS.controller}))).status, 201);
  await list(token);
  assert.ok(used.length > 50);
  for (const shown of used.filter((text) => text.length > 8)) {
    assert.ok(!gateway.log.includes(shown), 'a token is in the log');
    const [, claims] = shown.split('.');
    assert.ok(!(claims?.length > 8 && gateway.log.includes(claims)), 'claims are in the log');
  }
  assert.match(gateway.log, /token keys read/, 'what the log says at all');
  assert.ok(!gateway.log.includes(SECRET_NAME));
});
