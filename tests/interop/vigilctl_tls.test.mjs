// Certificates of `vigilctl dev-ca`, a gateway that shows them, and what the doctor makes of each
// fault.

import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import {after, before, test} from 'node:test';

import {Gateway} from './lib/gateway.mjs';
import {until} from './lib/until.mjs';
import {TemporaryFolder, bad, ctl, good, objects} from './lib/vigilctl.mjs';

const folder = new TemporaryFolder();
after(() => folder.remove());

const pki = `${folder.path}/pki`;
const ca = `${pki}/ca.pem`;

function start(env = {}) {
  return Gateway.start({workers: 1, env: {
    VIGIL_TLS_CERTIFICATE: `${pki}/server.pem`, VIGIL_TLS_KEY: `${pki}/server.key`, ...env}});
}
async function doctor(args, code, ...patterns) {
  const run = await ctl(['doctor', ...args]);
  assert.equal(run.code, code, run.out + run.err);
  for (const pattern of patterns) assert.match(run.out, pattern);
}

before(async () => {
  const out = await good(['dev-ca', '--dir', pki, '--host', '127.0.0.1', 'vigil.test', '--client',
                          'ops']);
  assert.match(out, /CA +.*ca\.pem \(new\)/);
  assert.match(out, /update-ca-certificates/);
  await good(['dev-ca', '--dir', `${folder.path}/other`, '--host', '127.0.0.1', '--client', 'ops']);
  for (const key of ['ca.key', 'server.key', 'client-ops.key']) {
    assert.equal(fs.statSync(`${pki}/${key}`).mode & 0o777, 0o600);
  }
});

test('is reached by its CA, and each fault is told apart', async () => {
  const gateway = await start();
  const {port} = new URL(`http://${gateway.grpc}`);
  const http = ['--http', gateway.url.replace('http:', 'https:')];
  assert.match(await good(['node', '--server', gateway.grpc, '--ca', ca]), /serving/);
  await doctor(['--server', gateway.grpc, '--ca', ca, ...http], 0,
               /^pass  tls +certificate of .*127\.0\.0\.1.*by CN = Vigil development CA/m,
               /^pass  certificate +ends in 8\d d/m, /^pass  http /m, /^pass  health/m);
  await doctor(['--server', gateway.grpc, '--ca', `${folder.path}/other/ca.pem`, ...http], 1,
               /^FAIL  tls .*it was signed by CN = Vigil development CA.*\n.*--ca/m,
               /^FAIL  http /m, /^skip  health/m);
  await doctor(['--server', `localhost:${port}`, '--ca', ca], 1,
               /^FAIL  tls +the certificate is not of localhost but of .*vigil\.test/m);
  await doctor(['--server', gateway.grpc], 1, /^FAIL  tls +the port speaks TLS/m);
  await doctor(['--server', gateway.grpc, '--ca', `${pki}/none.pem`], 1, /^FAIL  tls .*none\.pem/m);
  await bad(['node', '--server', gateway.grpc, '--ca', `${folder.path}/other/ca.pem`], 1,
            /UNAVAILABLE.*\n.*vigilctl doctor/);
  await gateway.stop();
});

test('may want certificates of clients', async () => {
  const gateway = await start({VIGIL_TLS_CLIENT_CA: ca});
  const own = ['--cert', `${pki}/client-ops.pem`, '--key', `${pki}/client-ops.key`];
  assert.match(await good(['node', '--server', gateway.grpc, '--ca', ca, ...own]), /serving/);
  const server = ['--server', gateway.grpc, '--ca', ca];
  const http = ['--http', gateway.url.replace('http:', 'https:')];
  await doctor([...server, ...own, ...http], 0, /^pass  tls /m);
  await doctor(server, 1, /^FAIL  tls .*\n.*wants a client certificate/m);
  await doctor([...server, '--cert', `${folder.path}/other/client-ops.pem`, '--key',
                `${folder.path}/other/client-ops.key`], 1,
               /^FAIL  tls .*\n.*wants a client certificate/m);
  await gateway.stop();
});

test('a renewed certificate is of the same CA', async () => {
  const before = fs.readFileSync(ca, 'utf8');
  const [files] = objects(await good(['dev-ca', '--dir', pki, '--host', '127.0.0.1', '--json']));
  assert.equal(files.made_ca, false);
  assert.equal(fs.readFileSync(ca, 'utf8'), before);
});

test('an expired certificate is told as that', async () => {
  // Of no days: it ends the second it begins.
  const names = `${folder.path}/names`;
  fs.writeFileSync(names, 'subjectAltName=IP:127.0.0.1\n');
  const openssl = (...args) => execFileSync('openssl', args, {stdio: 'pipe'});
  const csr = `${folder.path}/csr`;
  openssl('req', '-new', '-key', `${pki}/server.key`, '-subj', '/CN=old', '-out', csr);
  openssl('x509', '-req', '-in', csr, '-CA', ca, '-CAkey', `${pki}/ca.key`, '-days', '0',
           '-extfile', names, '-out', `${folder.path}/old.pem`);
  const gateway = await start({VIGIL_TLS_CERTIFICATE: `${folder.path}/old.pem`});
  await until('the end of the certificate', async () => {
    const {out} = await ctl(['doctor', '--server', gateway.grpc, '--ca', ca]);
    return /^FAIL  tls +certificate has expired at .*\n.*renew/m.test(out);
  });
  await gateway.stop();
});
