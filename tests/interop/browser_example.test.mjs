// The example page in a real browser, from another origin, with a token.

import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';
import {fileURLToPath} from 'node:url';

import {serve} from '../../proto/examples/browser/serve.mjs';
import {launch} from './lib/browser.mjs';
import {Gateway} from './lib/gateway.mjs';
import {bearer, call, exchange, offerOf} from './lib/http.mjs';
import {GRANTS, Issuer} from './lib/tokens.mjs';
import {until} from './lib/until.mjs';

const MODULES = fileURLToPath(new URL('node_modules', import.meta.url));
const SDP = {'Content-Type': 'application/sdp'};

let server;
let origin;
let issuer;
let gateway;
let browser;
let token;

before(async () => {
  server = await serve(0, MODULES);
  origin = `http://localhost:${server.address().port}`;
  issuer = new Issuer();
  token = issuer.token({grants: GRANTS.controller});
  gateway = await Gateway.start({env: {...issuer.env, VIGIL_HTTP_CORS_ORIGINS: origin}});
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
  issuer?.remove();
  server?.close();
});

async function post(path, offer) {
  const answer = await exchange(gateway.url + path, {
    method: 'POST', body: offerOf(offer), headers: {...SDP, ...bearer(token)}});
  assert.equal(answer.status, 201, answer.body);
}

async function slotsOf(participant) {
  const {reply} = await call(gateway.url, 'MediaService/ListParticipants',
                             {namePrefix: participant}, bearer(token));
  return reply.participants[0].peers[0].slots.map(({feed}) => feed ?? '');
}

// The page, watching with `withToken`.
async function open(withToken, at = origin) {
  const page = await browser.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  await page.goto(`${at}/`);
  await page.fill('#gateway', gateway.url);
  await page.fill('#token', withToken);
  await page.click('button');
  const textOf = (id) => page.locator(`#${id}`).innerText();
  return {page, errors, textOf};
}

test('it lists, watches and assigns', {timeout: 60_000}, async () => {
  await post('/whip/room-1/patient', 'chromium-publish');
  await post('/whep/dr-1?feeds=room-1/patient', 'chromium-play');
  const {page, errors, textOf} = await open(token);
  await until('the list', async () => (await textOf('feeds')).includes('room-1/patient'));
  assert.match(await textOf('state'), /^watching$/);

  await post('/whip/room-2/patient', 'chromium-publish');
  await until('the new feed', async () => (await textOf('feeds')).includes('room-2/patient'));
  assert.match(await textOf('events'), /snapshot[^]*feedPublished/);

  const slot = page.locator('#slots li', {hasText: 'dr-1, slot 1'}).locator('select');
  await slot.selectOption('room-2/patient');
  await until('the slot', async () => (await slotsOf('dr-1'))[1] === 'room-2/patient');
  assert.equal((await slotsOf('dr-1'))[0], 'room-1/patient');
  await until('that it is shown', async () => (await textOf('events')).includes('slotAssigned'));
  assert.deepEqual(errors, []);
  await page.close();
});

test('without a token it is told so', {timeout: 60_000}, async () => {
  const {page, textOf} = await open('');
  await until('the refusal', async () => (await textOf('state')).includes('unauthenticated'));
  await page.close();
});

test('from an origin that is not named nothing is read', {timeout: 60_000}, async (t) => {
  const other = await serve(0, MODULES);
  t.after(() => other.close());
  const {page, textOf} = await open(token, `http://localhost:${other.address().port}`);
  await until('the refusal', async () => (await textOf('state')).includes('trying again'));
  assert.equal(await textOf('feeds'), '');
  await page.close();
});
