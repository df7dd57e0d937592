// An issuer of tokens: keys and revocations as the files that a gateway reads, and JWTs of them.

import {createHmac, generateKeyPairSync, randomUUID, sign} from 'node:crypto';
import {mkdtempSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import path from 'node:path';

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
export const nowSeconds = () => Math.floor(Date.now() / 1000);

export const AUDIENCE = 'vigil-test';

// What participants, viewers, controllers and operators of a site are given.
export const GRANTS = {
  viewer: {sites: ['north'], roles: ['viewer']},
  controller: {sites: ['north'], roles: ['controller']},
  operator: {sites: ['*'], roles: ['operator', 'viewer']},
};

export class Issuer {
  #folder = mkdtempSync(path.join(tmpdir(), 'vigil-tokens-'));
  #keysFolder = mkdtempSync(path.join(this.#folder, 'keys-'));
  #keys = new Map();
  #revoked = [];

  constructor() {
    this.addKey('first');
    this.#write(this.#revokedFile, '');
  }

  get #revokedFile() { return path.join(this.#folder, 'revoked'); }
  get env() {
    return {VIGIL_AUTH_MODE: 'jwt', VIGIL_AUTH_AUDIENCE: AUDIENCE,
            VIGIL_AUTH_KEYS_DIR: this.#keysFolder, VIGIL_AUTH_REVOKED_FILE: this.#revokedFile};
  }

  // As operators should do it: a reader sees the old file or the new one.
  #write(file, text) {
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file);
  }
  #fileOf(kid) { return path.join(this.#keysFolder, `${kid}.pem`); }

  addKey(kid) {
    const pair = generateKeyPairSync('ec', {namedCurve: 'P-256'});
    this.#keys.set(kid, pair);
    this.#write(this.#fileOf(kid), this.publicPem(kid));
  }
  removeKey(kid) { rmSync(this.#fileOf(kid)); }
  publicPem(kid) { return this.#keys.get(kid).publicKey.export({type: 'spki', format: 'pem'}); }
  revoke(jti) {
    this.#revoked.push(jti);
    this.#write(this.#revokedFile, `# withdrawn\n${this.#revoked.join('\n')}\n`);
  }
  remove() { rmSync(this.#folder, {recursive: true}); }

  // A claim that is undefined is left out.
  claims({grants = GRANTS.viewer, ...claims} = {}) {
    return {sub: 'dr-1', aud: AUDIENCE, exp: nowSeconds() + 600, jti: randomUUID(), vigil: grants,
            ...claims};
  }
  token({kid = 'first', key = kid, ...claims} = {}) {
    const text = `${encode({alg: 'ES256', typ: 'JWT', kid})}.${encode(this.claims(claims))}`;
    const {privateKey} = this.#keys.get(key);
    // RFC 7518, 3.4: R and S, not DER.
    const signature = sign('sha256', Buffer.from(text), {key: privateKey,
                                                         dsaEncoding: 'ieee-p1363'});
    return `${text}.${signature.toString('base64url')}`;
  }
  // Of a participant who may publish and receive what the patterns say.
  participant(sub, publish = [`${sub}/*`], subscribe = ['*'], sites = ['north']) {
    return this.token({sub, grants: {sites, roles: ['participant'], publish, subscribe}});
  }

  // ---- What must never be let in. ----

  unsigned(claims) {
    return `${encode({alg: 'none', kid: 'first'})}.${encode(this.claims(claims))}.`;
  }
  // The public key taken for the secret of an HMAC.
  confused(claims) {
    const text = `${encode({alg: 'HS256', kid: 'first'})}.${encode(this.claims(claims))}`;
    const hmac = createHmac('sha256', this.publicPem('first')).update(text);
    return `${text}.${hmac.digest('base64url')}`;
  }
}
