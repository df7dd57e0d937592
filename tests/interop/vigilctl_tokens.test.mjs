// Keys and tokens of vigilctl, and a gateway that wants them.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import {after, before, test} from 'node:test';

import {Gateway} from './lib/gateway.mjs';
import {until} from './lib/until.mjs';
import {PUBLISH, TemporaryFolder, bad, ctl, good, objects, open} from './lib/vigilctl.mjs';

const folder = new TemporaryFolder();
after(() => folder.remove());

const keys = `${folder.path}/keys`;
const revoked = `${folder.path}/revoked`;
let gateway;

async function token(name, ...args) {
  const file = `${folder.path}/${name}.token`;
  fs.writeFileSync(file, await good(['token', 'make', '--key', `${keys}/k1.key`, ...args]));
  return {VIGILCTL_SERVER: gateway.grpc, VIGILCTL_TOKEN_FILE: file};
}

before(async () => {
  assert.match(await good(['token', 'keygen', '--dir', keys, '--kid', 'k1']), /keys_dir: /);
  fs.writeFileSync(revoked, '');
  gateway = await Gateway.start({env: {
    VIGIL_AUTH_MODE: 'jwt', VIGIL_AUTH_KEYS_DIR: `${keys}/public`, VIGIL_AUTH_REVOKED_FILE: revoked,
    VIGIL_AUTH_AUDIENCE: 'north'}});
});
after(() => gateway?.stop());

test('a private key is its owner\'s', () => {
  assert.equal(fs.statSync(`${keys}/k1.key`).mode & 0o777, 0o600);
});

test('takes those that vigilctl makes', async () => {
  const operator = await token('operator', '--sub', 'ops', '--aud', 'north', '--site', '*',
                               '--role', 'operator', '--role', 'controller', '--role', 'viewer');
  assert.match(await good(['node'], {env: operator}), /serving/);
  const room = fs.readFileSync((await token('room', '--sub', 'room-1', '--aud', 'north', '--site',
                                            'a', '--role', 'participant', '--publish',
                                            'room-1/*')).VIGILCTL_TOKEN_FILE, 'utf8').trim();
  await open(gateway, '/whip/room-1/patient', PUBLISH, {Authorization: `Bearer ${room}`});
  assert.match(await good(['list', 'participants'], {env: operator}), /^a +room-1 /m);
  const {out, code} = await ctl(['doctor', '--http', gateway.url, '--aud', 'north', '--keys-dir',
                                 `${keys}/public`], {env: operator});
  assert.equal(code, 0, out);
  assert.match(out, /^pass  token        of ops, key k1, roles operator controller viewer/m);
});

test('says what a token lacks', async () => {
  await bad(['node'], 1, /TOKEN_MISSING.*\n.*--token-file/, {env: {VIGILCTL_SERVER: gateway.grpc}});
  const viewer = await token('viewer', '--sub', 'v', '--aud', 'north', '--site', 'a', '--site', 'b',
                             '--role', 'viewer');
  await bad(['node'], 1, /NOT_GRANTED/, {env: viewer});
  await bad(['keyframe', 'room-1/patient'], 1, /SITE_REQUIRED.*\n.*--site/, {env: viewer});
  assert.equal((await ctl(['list', 'feeds', '--site', 'a'], {env: viewer})).code, 0);
  await bad(['list', 'feeds', '--site', 'c'], 1, /NOT_GRANTED/, {env: viewer});
  const other = await token('other', '--sub', 'v', '--site', 'a', '--role', 'viewer');
  await bad(['list', 'feeds'], 1, /TOKEN_INVALID/, {env: other});
  fs.writeFileSync(`${folder.path}/none.token`, '\n');
  await bad(['node', '--token-file', `${folder.path}/none.token`], 1, /holds no token/,
            {env: {VIGILCTL_SERVER: gateway.grpc}});
});

test('the doctor reads tokens', async () => {
  const fails = async (env, pattern, ...args) => {
    const {out, code} = await ctl(['doctor', '--http', gateway.url, '--aud', 'north', ...args],
                                  {env});
    assert.equal(code, 1, out);
    assert.match(out, pattern);
  };
  const grants = ['--site', 'a', '--role', 'viewer'];
  await fails(await token('aud', '--sub', 'v', ...grants),
              /^FAIL  token .*audience is vigil, not/m);
  await good(['token', 'keygen', '--dir', `${folder.path}/strange`, '--kid', 'k1']);
  await fails(await token('strange', '--sub', 'v', '--aud', 'north', ...grants),
              /^FAIL  token .*not signed/m, '--keys-dir', `${folder.path}/strange/public`);
  const garbage = `${folder.path}/garbage.token`;
  fs.writeFileSync(garbage, 'garbage');
  await fails({VIGILCTL_SERVER: gateway.grpc, VIGILCTL_TOKEN_FILE: garbage},
              /^FAIL  token .*not a JWT/m);
  const short = await token('short', '--sub', 'v', '--aud', 'north', '--ttl', '1s', ...grants);
  await until('the end of a token', async () => {
    const {out} = await ctl(['doctor', '--http', gateway.url, '--aud', 'north'], {env: short});
    return /^FAIL  token .*it expired/m.test(out);
  });
});

test('a withdrawn token is refused', async () => {
  const env = await token('gone', '--sub', 'v', '--aud', 'north', '--site', 'a', '--role', 'viewer',
                          '--jti', 'gone-1');
  await good(['list', 'feeds'], {env});
  assert.match(await good(['token', 'show', env.VIGILCTL_TOKEN_FILE]), /jti +gone-1\n/);
  const [shown] = objects(await good(['token', 'show', env.VIGILCTL_TOKEN_FILE, '--keys-dir',
                                      `${keys}/public`, '--json']));
  assert.equal(shown.signature, 'good');
  await good(['token', 'revoke', 'gone-1', '--file', revoked]);
  assert.match(await good(['token', 'revoke', 'gone-1', '--file', revoked]), /already/);
  await until('the refusal', async () => /TOKEN_REVOKED/.test(
    (await ctl(['list', 'feeds'], {env})).err));
});

test('a token is not made wrongly', async () => {
  const make = ['token', 'make', '--key', `${keys}/k1.key`, '--sub', 'a', '--site', 'a'];
  await bad([...make, '--role', 'king'], 2, /--role: king is not allowed; allowed: participant/);
  await bad([...make, '--role', 'viewer', '--ttl', 'long'], 2, /--ttl/);
  await bad(['token', 'make', '--key', `${keys}/public/k1.pem`, '--sub', 'a', '--site', 'a',
             '--role', 'viewer'], 2, /no private key/);
  await bad(['token', 'keygen', '--dir', keys, '--kid', 'k1'], 1, /there already/);
});
