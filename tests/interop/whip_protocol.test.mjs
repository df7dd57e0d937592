// WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep), row by row, as they are on the wire.

import assert from 'node:assert/strict';
import {after, before, describe, test} from 'node:test';

import {AiortcClient} from './lib/aiortc.mjs';
import {Gateway} from './lib/gateway.mjs';
import {EventReader, bearer, call, exchange, offerOf, rawExchange} from './lib/http.mjs';
import {Issuer} from './lib/tokens.mjs';
import {until} from './lib/until.mjs';

const PUBLISH = offerOf('chromium-publish');
const PLAY = offerOf('chromium-play');
const SDP = {'Content-Type': 'application/sdp'};
const FRAGMENT = {'Content-Type': 'application/trickle-ice-sdpfrag'};
const REDIRECT = 'https://other.example:8443/base';
const ORIGIN = 'http://localhost:1234';

// What a client says in a PATCH (RFC 8840, 9): of the ICE session of the offer, or of a new one.
const ufragOf = (sdp) => /^a=ice-ufrag:(\S+)/m.exec(sdp)[1];
const passwordOf = (sdp) => /^a=ice-pwd:(\S+)/m.exec(sdp)[1];
const fragment = (ufrag, password, more = '') =>
  `a=ice-ufrag:${ufrag}\r\na=ice-pwd:${password}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n` +
  `a=candidate:1 1 udp 2130706431 198.51.100.7 61234 typ host\r\n${more}`;
const trickled = (offer) => fragment(ufragOf(offer), passwordOf(offer), 'a=end-of-candidates\r\n');
const RESTART = fragment('newUfrag', 'newPasswordOf24Characters');

const withoutLines = (sdp, pattern) =>
  sdp.split('\r\n').filter((line) => !pattern.test(line)).join('\r\n');
const pictureOf = (sdp) => sdp.slice(sdp.indexOf('m=video'));

let open;      // Without a login, with ICE servers.
let locked;    // With tokens; sends offers elsewhere while it drains.
let issuer;

before(async () => {
  issuer = new Issuer();
  [open, locked] = await Promise.all([
    Gateway.start({env: {
      VIGIL_MEDIA_ICE_SERVERS:
        'stun:stun.example.net,turn:turn.example.net?transport=udp clinic secret',
      VIGIL_HTTP_CORS_ORIGINS: 'https://console.example'}}),
    Gateway.start({env: {...issuer.env, VIGIL_HTTP_REDIRECT_URL: REDIRECT}}),
  ]);
});

after(async () => {
  await open?.stop();
  await locked?.stop();
  issuer?.remove();
});

let sessions = 0;

// Makes a session of its own; returns {path, etag, answer, offer}.
async function newSession(kind = 'whip', gateway = open) {
  const name = `room-${++sessions}`;
  const [endpoint, offer] =
    kind === 'whip' ? [`/whip/${name}/patient`, PUBLISH] : [`/whep/dr-${name}`, PLAY];
  const answer = await exchange(gateway.url + endpoint,
                                {method: 'POST', headers: SDP, body: offer});
  assert.equal(answer.status, 201, answer.body);
  return {path: answer.headers.location[0], etag: answer.headers.etag[0], answer, offer, endpoint};
}

// Whether `headers` are as a row says: a text is the only value, a pattern fits one value, null
// means that there is none.
function checkHeaders(headers, wanted = {}) {
  for (const [name, want] of Object.entries(wanted)) {
    const values = headers[name.toLowerCase()] ?? [];
    if (want === null) assert.deepEqual(values, [], name);
    else if (typeof want === 'string') assert.deepEqual(values, [want], name);
    else assert.ok(values.some((value) => want.test(value)), `${name}: ${JSON.stringify(values)}`);
  }
}

function check(answer, {status, wants, says}) {
  assert.equal(answer.status, status, answer.body);
  checkHeaders(answer.headers, wants);
  if (says !== undefined) assert.match(answer.body, says);
  // Whoever is refused is told why.
  if (status >= 400) assert.ok(answer.body.trim().length > 5, JSON.stringify(answer.body));
}

// ---- Endpoints. A row without `path` is tried with both. ----

const ANSWER = /^v=0\r\n/;
const CREATED = {status: 201, says: ANSWER, wants: {
  'Content-Type': 'application/sdp', 'ETag': /^"[^"]+"$/,
  'Location': /^\/(whip\/[a-z0-9-]+\/patient|whep\/[a-z0-9-]+)\/[A-Za-z0-9_-]{22,}$/}};
const ICE_SERVERS = /^<stun:stun\.example\.net>; rel="ice-server"$/;
const TURN_SERVER = new RegExp('^<turn:turn\\.example\\.net\\?transport=udp>; rel="ice-server"; ' +
  'username="clinic"; credential="secret"; credential-type="password"$');
const WHIP = '/whip/table/patient';
const WHEP = '/whep/dr-table';

const ENDPOINT_ROWS = [
  {what: 'an offer is answered', path: '/whip/table-1/patient', body: PUBLISH, ...CREATED},
  {what: 'an offer of aiortc is answered', path: '/whip/table-2/patient',
   body: offerOf('aiortc-publish'), ...CREATED},
  {what: 'an offer of Firefox is answered', path: '/whip/table-3/patient',
   body: offerOf('firefox-publish'), ...CREATED},
  {what: 'an offer of GStreamer is answered', path: '/whip/table-4/patient',
   body: offerOf('gstreamer-publish'), ...CREATED},
  {what: 'a player\'s offer is answered', path: '/whep/dr-table-1', body: PLAY, ...CREATED},
  {what: 'a player may name feeds', path: '/whep/dr-table-2?feeds=table-1/patient,table-9/none',
   body: PLAY, ...CREATED},
  {what: 'a player of two pictures is answered', path: '/whep/dr-table-3',
   body: offerOf('chromium-play-two-pictures'), ...CREATED},
  {what: 'a media type\'s case and parameters do not matter', path: '/whip/table-5/patient',
   body: PUBLISH, headers: {'Content-Type': 'Application/SDP; charset=utf-8'}, ...CREATED},
  {what: 'ICE servers are named', path: '/whip/table-6/patient', body: PUBLISH,
   status: 201, wants: {Link: ICE_SERVERS}},
  {what: 'TURN servers are named with what they want', path: '/whep/dr-table-4', body: PLAY,
   status: 201, wants: {Link: TURN_SERVER}},

  {what: 'GET has nothing to give', method: 'GET', status: 204, says: /^$/,
   wants: {'Content-Length': null, 'Content-Type': null}},
  {what: 'HEAD has nothing to give', method: 'HEAD', status: 204, says: /^$/},
  {what: 'OPTIONS says what may be posted', method: 'OPTIONS', status: 200, says: /^$/,
   wants: {'Accept-Post': 'application/sdp', 'Allow': /\bPOST\b/, 'Link': ICE_SERVERS}},
  {what: 'a preflight is answered, without ICE servers', method: 'OPTIONS', status: 200,
   headers: {'Origin': ORIGIN, 'Access-Control-Request-Method': 'POST'},
   wants: {'Accept-Post': 'application/sdp', 'Link': null}},
  {what: 'a preflight of a named origin says what it may', method: 'OPTIONS', status: 200,
   headers: {'Origin': 'https://console.example', 'Access-Control-Request-Method': 'POST',
             'Access-Control-Request-Headers': 'authorization,content-type'},
   wants: {'Access-Control-Allow-Origin': 'https://console.example', 'Vary': /\bOrigin\b/,
           'Access-Control-Allow-Methods': /\bPOST\b.*\bPATCH\b.*\bDELETE\b/,
           'Access-Control-Allow-Headers': /\bAuthorization\b.*\bContent-Type\b.*\bIf-Match\b/}},
  {what: 'another origin is allowed nothing', method: 'OPTIONS', status: 200,
   headers: {'Origin': ORIGIN, 'Access-Control-Request-Method': 'POST'},
   wants: {'Access-Control-Allow-Origin': null, 'Access-Control-Allow-Methods': null}},
  {what: 'a named origin reads the headers that it needs', path: '/whip/table-7/patient',
   body: PUBLISH, headers: {...SDP, Origin: 'https://console.example'}, status: 201,
   wants: {'Access-Control-Allow-Origin': 'https://console.example',
           'Access-Control-Expose-Headers': /\bLocation\b.*\bETag\b.*\bLink\b/}},

  {what: 'no SDP', body: 'hello', status: 400},
  {what: 'nothing', body: '', status: 400},
  {what: 'no ICE credentials', status: 400,
   body: (offer) => withoutLines(offer, /^a=ice-(ufrag|pwd)/)},
  {what: 'no fingerprint', body: (offer) => withoutLines(offer, /^a=fingerprint/), status: 400},
  {what: 'no bundle', body: (offer) => withoutLines(offer, /^a=group/), status: 400},
  {what: 'a DTLS server as we are', status: 400,
   body: (offer) => offer.replaceAll('a=setup:actpass', 'a=setup:passive')},
  {what: 'a device that is no name', path: `${WHIP}?device=a%20b`, body: PUBLISH, status: 400},
  {what: 'a feed that is no name', path: `${WHEP}?feeds=Room/x`, body: PLAY, status: 400},
  {what: 'a site that is no name', path: `${WHIP}?site=North`, body: PUBLISH, status: 400},
  {what: 'a page of elsewhere, without a login', body: PUBLISH,
   headers: {...SDP, Origin: 'https://evil.example'}, status: 403},
  {what: 'a page without an origin, without a login', body: PUBLISH,
   headers: {...SDP, Origin: 'null'}, status: 403},
  {what: 'another site than the only one', path: `${WHIP}?site=south`, body: PUBLISH, status: 403},
  {what: 'a name with capitals', path: '/whip/Table/patient', body: PUBLISH, status: 404},
  {what: 'a name that is too long', path: `/whip/${'x'.repeat(64)}/y`, body: PUBLISH, status: 404},
  {what: 'no feed', path: '/whip/table', body: PUBLISH, status: 404},
  {what: 'no participant', path: '/whep/', body: PLAY, status: 404},
  {what: 'an empty session', path: `${WHIP}/`, body: PUBLISH, status: 404},
  {what: 'too many segments', path: `${WHEP}/a/b/c`, body: PLAY, status: 404},
  {what: 'PUT', method: 'PUT', body: PUBLISH, status: 405, wants: {Allow: /\bPOST\b/}},
  {what: 'DELETE of an endpoint', method: 'DELETE', status: 405, wants: {Allow: /\bPOST\b/}},
  {what: 'PATCH of an endpoint', method: 'PATCH', body: RESTART, headers: FRAGMENT, status: 405},
  {what: 'a publisher who only receives', path: WHIP, body: PLAY, status: 406},
  {what: 'a player who only sends', path: WHEP, body: PUBLISH, status: 406},
  {what: 'no codec in common', status: 406,
   body: (offer) => withoutLines(offer, /^a=(rtpmap|fmtp|rtcp-fb)/)
     .replace(/^(m=\w+ \d+ \S+) .*$/gm, '$1 77')
     .replace(/^(a=mid:\d+)/gm, '$1\r\na=rtpmap:77 X-None/1000')},
  {what: 'text', headers: {'Content-Type': 'text/plain'}, body: PUBLISH, status: 415,
   wants: {'Accept-Post': 'application/sdp'}},
  {what: 'no media type', headers: {}, body: PUBLISH, status: 415},
  {what: 'JSON', headers: {'Content-Type': 'application/json'}, body: '{}', status: 415},
  {what: 'a body of a megabyte', body: PUBLISH + 'a=x:y\r\n'.repeat(150_000), status: 413},
  {what: 'two pictures of a publisher', path: WHIP, status: 422,
   body: (PUBLISH + pictureOf(PUBLISH).replace('a=mid:1', 'a=mid:2')).replace(
     'BUNDLE 0 1', 'BUNDLE 0 1 2')},
  {what: 'a method that there is not', method: 'SUBSCRIBE', status: 501},
];

describe('endpoints', () => {
  for (const row of ENDPOINT_ROWS) {
    const {method = 'POST', headers = SDP, body, what, path} = row;
    for (const where of path ? [path] : [WHIP, WHEP]) {
      test(`${method} ${where}: ${what}: ${row.status}`, async () => {
        const offer = where.startsWith('/whip/') ? PUBLISH : PLAY;
        const sent = typeof body === 'function' ? body(offer) : body;
        check(await exchange(open.url + where, {method, headers, body: sent}), row);
      });
    }
  }

  test('a method that nobody knows is not implemented', async () => {
    const reply = await rawExchange(open.url,
      `BREW ${WHIP} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    assert.match(reply, /^HTTP\/1\.1 501 /);
  });
});

// ---- Sessions. `etag` is what If-Match says: a function of the current one. ----

const current = (etag) => etag;
const SESSION_ROWS = [
  {what: 'GET has nothing to give', method: 'GET', status: 204, says: /^$/},
  {what: 'OPTIONS says what may be patched', method: 'OPTIONS', status: 200,
   wants: {'Allow': /\bPATCH\b.*\bDELETE\b/, 'Accept-Patch': 'application/trickle-ice-sdpfrag'}},
  {what: 'candidates are taken', etag: current, status: 204, says: /^$/,
   wants: {'ETag': null, 'Content-Type': null, 'Content-Length': null}},
  {what: 'candidates are taken for any ICE session', etag: () => '*', status: 204,
   wants: {ETag: null}},
  {what: 'one entity tag of several fits', etag: (etag) => `"x", ${etag}`, status: 204},
  {what: 'a candidate of an unknown transport is left out', etag: current, status: 204,
   body: (offer) => trickled(offer).replace(' udp ', ' sctp ')},
  {what: 'a candidate of an unknown name is left out', etag: current, status: 204,
   body: (offer) => trickled(offer).replace('198.51.100.7', 'no-such-host.invalid')},
  {what: 'new credentials restart ICE', etag: () => '*', body: () => RESTART, status: 200,
   wants: {'ETag': /^"[^"]+"$/, 'Content-Type': 'application/trickle-ice-sdpfrag'},
   says: /^a=ice-lite\r\n[^]*a=ice-ufrag:\S{4,}\r\n[^]*a=candidate:/m},
  {what: 'new credentials restart ICE also under the current tag', etag: current,
   body: () => RESTART, status: 200, wants: {ETag: /^"[^"]+"$/}},
  {what: 'no fragment', etag: current, body: () => 'a=candidate:?\r\n', status: 400},
  {what: 'a user fragment that is too short', etag: () => '*', status: 400,
   body: () => fragment('abc', 'newPasswordOf24Characters')},
  {what: 'a password that is too short', etag: () => '*', body: () => fragment('newUfrag', 'short'),
   status: 400},
  {what: 'POST', method: 'POST', headers: SDP, body: () => PUBLISH, status: 405,
   wants: {Allow: /\bPATCH\b/}},
  {what: 'PUT', method: 'PUT', headers: SDP, body: () => PUBLISH, status: 405},
  {what: 'another entity tag', etag: () => '"another"', status: 412},
  {what: 'a weak entity tag', etag: (etag) => `W/${etag}`, status: 412},
  {what: 'a restart under another tag', etag: () => '"another"', body: () => RESTART, status: 412},
  {what: 'SDP', etag: current, headers: SDP, body: () => PUBLISH, status: 415,
   wants: {'Accept-Patch': 'application/trickle-ice-sdpfrag'}},
  {what: 'a restart without a password', etag: () => '*', status: 422,
   body: () => withoutLines(RESTART, /^a=ice-pwd/)},
  {what: 'a restart without credentials', etag: () => '*', status: 422,
   body: () => withoutLines(RESTART, /^a=ice-/)},
  {what: 'no If-Match', status: 428},
  {what: 'DELETE ends it', method: 'DELETE', status: 200},
  {what: 'DELETE does not look at entity tags', method: 'DELETE', etag: () => '"another"',
   status: 200},
];

describe('sessions', () => {
  for (const kind of ['whip', 'whep']) {
    for (const row of SESSION_ROWS) {
      const {what, method = 'PATCH', headers = FRAGMENT, body = trickled, etag} = row;
      test(`${kind} ${method}: ${what}: ${row.status}`, async () => {
        const session = await newSession(kind);
        const answer = await exchange(open.url + session.path, {
          method, body: method.startsWith('P') ? body(session.offer) : '',
          headers: {...headers, ...(etag ? {'If-Match': etag(session.etag)} : {})}});
        check(answer, row);
        // Whatever was refused: the session is there as it was (RFC 9725, 4.3.3).
        if (row.status >= 400) {
          const still = await exchange(open.url + session.path, {
            method: 'PATCH', headers: {...FRAGMENT, 'If-Match': session.etag},
            body: trickled(session.offer)});
          assert.equal(still.status, 204, still.body);
        }
        await exchange(open.url + session.path, {method: 'DELETE'});
      });
    }
  }
});

describe('over the life of a session', () => {
  test('after a restart the new entity tag holds and the old one does not', async () => {
    const session = await newSession();
    const patch = (etag, body) => exchange(open.url + session.path, {
      method: 'PATCH', headers: {...FRAGMENT, 'If-Match': etag}, body});
    const restarted = await patch('*', RESTART);
    const [etag] = restarted.headers.etag;
    assert.notEqual(etag, session.etag);
    assert.notEqual(ufragOf(restarted.body), ufragOf(session.answer.body));
    assert.notEqual(passwordOf(restarted.body), passwordOf(session.answer.body));
    assert.equal((await patch(session.etag, RESTART)).status, 412);
    assert.equal((await patch(etag, RESTART)).status, 204, 'the same credentials: trickling');
    const again = await patch('*', fragment('thirdUfrag', 'thirdPasswordOf24Characters'));
    assert.equal(again.status, 200);
    assert.notEqual(again.headers.etag[0], etag);
  });

  test('a session is found only where it was made, and only while it is there', async () => {
    const session = await newSession();
    const id = session.path.split('/').at(-1);
    for (const path of [`/whip/other/patient/${id}`, `/whep/dr-1/${id}`,
                        `${session.endpoint.replace('patient', 'x')}/${id}`,
                        `${session.endpoint}/${id.slice(1)}`, `${session.endpoint}/${id}x`]) {
      for (const method of ['GET', 'PATCH', 'DELETE']) {
        const answer = await exchange(open.url + path, {
          method, headers: {...FRAGMENT, 'If-Match': '*'},
          body: method === 'PATCH' ? RESTART : ''});
        assert.equal(answer.status, 404, `${method} ${path}`);
      }
    }
    const end = () => exchange(open.url + session.path, {method: 'DELETE'});
    assert.equal((await end()).status, 200);
    assert.equal((await end()).status, 404);
  });

  test('no two sessions have anything secret in common', async () => {
    const made = await Promise.all(Array.from({length: 20}, () => newSession('whep')));
    const distinct = (list) => new Set(list).size;
    assert.equal(distinct(made.map(({path}) => path.split('/').at(-1))), 20);
    assert.equal(distinct(made.map(({etag}) => etag)), 20);
    assert.equal(distinct(made.map(({answer}) => passwordOf(answer.body))), 20);
    await Promise.all(made.map(({path}) => exchange(open.url + path, {method: 'DELETE'})));
  });
});

describe('a feed that is published again', () => {
  test('the same device publishes again and replaces what it had', {timeout: 60_000}, async (t) => {
    const publish = async (stop) => {
      const client = new AiortcClient('publish', `${open.url}/whip/again/patient?device=d1`);
      t.after(() => stop(client));
      await client.event('connected');
    };
    const events = await EventReader.open(`${open.url}/v1/events/media`);
    t.after(() => events.close());
    // The connections of the room that the watch told about, in their order.
    const told = (kind, peerOf) => events.events.map(({message}) => message.event?.[kind])
      .filter((change) => change?.participant === 'again').map(peerOf);
    const opened = () => told('peerOpened', ({peer}) => peer.peer);
    const connected = () => told('peerConnected', ({peer}) => peer);
    const closed = () => told('peerClosed', ({peer, reason}) => [peer, reason]);
    await until('the snapshot', () => events.events.length > 0);
    // Its session is no longer there when it ends.
    await publish((client) => assert.rejects(client.stop(), /404/));
    // Whoever only asks takes nothing away: the picture that is there is worth more.
    const answer = await exchange(`${open.url}/whip/again/patient?device=d1`,
                                  {method: 'POST', headers: SDP, body: PUBLISH});
    assert.equal(answer.status, 201);
    await until('two connections', () => opened().length === 2);
    assert.deepEqual(closed(), []);
    await publish((client) => client.stop());
    await until('an end', () => closed().length > 0);
    const [first, , third] = opened();
    assert.deepEqual(closed(), [[first, 'PEER_CLOSE_REASON_REPLACED']]);
    assert.deepEqual(connected(), [first, third]);
    await exchange(open.url + answer.headers.location[0], {method: 'DELETE'});
  });

  test('another device does not take the feed of a healthy one: 409', {timeout: 60_000},
       async (t) => {
    const room = new AiortcClient('publish', `${open.url}/whip/held/patient?device=d1`);
    t.after(() => room.stop());
    await room.event('connected');
    // For longer than one is taken for healthy unheard.
    await until('sound', async () => (await open.stats()).peers.some(
      ({participant, inbound}) => participant === 'held' &&
        inbound?.some(({kind, packets}) => kind === 'MEDIA_KIND_AUDIO' && packets >= 200)));
    const answer = await exchange(`${open.url}/whip/held/patient?device=d2`,
                                  {method: 'POST', headers: SDP, body: PUBLISH});
    check(answer, {status: 409, says: /another device/});
  });
});

// ---- Tokens. `as` is what makes the token. ----

const OTHER_SITE = ['south'];
const TOKEN_ROWS = [
  {what: 'no token', as: () => undefined, status: 401, wants: {'WWW-Authenticate': 'Bearer'}},
  {what: 'no JWT', as: () => 'abc', status: 401,
   wants: {'WWW-Authenticate': 'Bearer error="invalid_token"'}},
  {what: 'its own feed', as: () => issuer.participant('table'), status: 201},
  {what: 'a controller, for others', status: 201,
   as: () => issuer.token({grants: {sites: ['north'], roles: ['controller']}})},
  {what: 'a feed that is not granted', status: 403, says: /publish/, path: '/whip/table/other',
   as: () => issuer.participant('table', ['table/patient'])},
  {what: 'another participant', as: () => issuer.participant('dr-2', ['*']), status: 403},
  {what: 'another site', as: () => issuer.participant('table', ['*'], ['*'], OTHER_SITE),
   path: `${WHIP}?site=north`, status: 403},
  {what: 'a viewer', as: () => issuer.token({sub: 'table'}), status: 403},
  {what: 'a feed that may not be received', path: '/whep/table?feeds=room-1/patient', body: PLAY,
   as: () => issuer.participant('table', [], ['room-2/*']), status: 403, says: /receive/},
  {what: 'a feed that may be received', path: '/whep/table?feeds=room-2/patient', body: PLAY,
   as: () => issuer.participant('table', [], ['room-2/*']), status: 201},
  {what: 'a site has to be named where there are two', status: 400, says: /site/,
   as: () => issuer.participant('table', ['*'], ['*'], ['north', 'south'])},
  {what: 'the scheme\'s name in lower case', scheme: 'bearer', status: 201,
   as: () => issuer.participant('table')},
  {what: 'another scheme', scheme: 'Basic', as: () => issuer.participant('table'), status: 401},
];

describe('tokens', () => {
  for (const row of TOKEN_ROWS) {
    const {what, as, path = WHIP, body = PUBLISH, scheme = 'Bearer'} = row;
    test(`POST ${path}: ${what}: ${row.status}`, async () => {
      const token = as();
      const headers = {...SDP, ...(token ? {Authorization: `${scheme} ${token}`} : {})};
      check(await exchange(locked.url + path, {method: 'POST', headers, body}), row);
    });
  }

  test('a session is steered by its own participant and by controllers only', async () => {
    const post = await exchange(`${locked.url}/whip/steered/patient`, {
      method: 'POST', body: PUBLISH, headers: {...SDP, ...bearer(issuer.participant('steered'))}});
    const path = post.headers.location[0];
    const end = (token) => exchange(locked.url + path, {method: 'DELETE', headers: bearer(token)});
    assert.equal((await end()).status, 401);
    // The same answer whether it exists or not.
    assert.equal((await end(issuer.participant('dr-2'))).status, 404);
    assert.equal((await end(issuer.participant('steered', ['*'], ['*'], OTHER_SITE))).status, 404);
    assert.equal((await end(issuer.participant('steered'))).status, 200);
  });

  test('OPTIONS needs no token', async () => {
    const plain = await exchange(locked.url + WHIP, {method: 'OPTIONS'});
    check(plain, {status: 200, wants: {'Accept-Post': 'application/sdp'}});
    const preflight = await exchange(locked.url + WHIP, {
      method: 'OPTIONS', headers: {'Origin': 'https://any.example',
                                   'Access-Control-Request-Method': 'POST'}});
    check(preflight, {status: 200, wants: {'Access-Control-Allow-Origin': 'https://any.example'}});
  });
});

// ---- Drain: last, and what runs goes on. ----

describe('draining', () => {
  test('offers are sent elsewhere: 307', async () => {
    const operator = bearer(issuer.token({grants: {sites: ['*'], roles: ['operator']}}));
    const headers = {...SDP, ...bearer(issuer.participant('drained'))};
    const before = await exchange(`${locked.url}/whip/drained/patient`,
                                  {method: 'POST', headers, body: PUBLISH});
    assert.equal((await call(locked.url, 'NodeService/Drain', {}, operator)).status, 200);
    for (const path of ['/whip/drained/patient?device=d1', '/whep/drained?feeds=a/b,c/d']) {
      check(await exchange(locked.url + path, {method: 'POST', headers, body: PUBLISH}),
            {status: 307, wants: {Location: REDIRECT + path}});
    }
    const unknown = await exchange(locked.url + WHIP,
                                   {method: 'POST', headers: SDP, body: PUBLISH});
    check(unknown, {status: 401});
    const end = await exchange(locked.url + before.headers.location[0],
                               {method: 'DELETE', headers});
    check(end, {status: 200});
    await call(locked.url, 'NodeService/Undrain', {}, operator);
    const again = await exchange(`${locked.url}/whip/drained/patient`,
                                 {method: 'POST', headers, body: PUBLISH});
    check(again, {status: 201});
  });

  test('without another place offers are refused: 503', async () => {
    const session = await newSession();
    assert.equal((await call(open.url, 'NodeService/Drain')).status, 200);
    for (const [path, body] of [[WHIP, PUBLISH], [WHEP, PLAY]]) {
      check(await exchange(open.url + path, {method: 'POST', headers: SDP, body}),
            {status: 503, wants: {'Retry-After': /^\d+$/}, says: /draining/});
    }
    const trickle = await exchange(open.url + session.path, {
      method: 'PATCH', headers: {...FRAGMENT, 'If-Match': session.etag}, body: trickled(PUBLISH)});
    check(trickle, {status: 204});
  });
});
