// A small certificate authority, by openssl, and the files of one server.

import {execFileSync} from 'node:child_process';
import {X509Certificate} from 'node:crypto';
import {mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import path from 'node:path';

export class Authority {
  #folder = mkdtempSync(path.join(tmpdir(), 'vigil-ca-'));

  constructor() {
    this.#openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                  '-subj', '/CN=Vigil test CA', '-days', '2', '-keyout', 'ca.key', '-out', 'ca.pem',
                  '-addext', 'basicConstraints=critical,CA:TRUE');
    this.certificate = this.#read('ca.pem');
  }

  #openssl(...args) { execFileSync('openssl', args, {cwd: this.#folder, stdio: 'pipe'}); }
  #read(name) { return readFileSync(path.join(this.#folder, name), 'utf8'); }

  // A new key and certificate for localhost: {certificate, key, serial}, the first two in PEM, the
  // certificate with the CA's behind it.
  issue() {
    writeFileSync(path.join(this.#folder, 'extensions'),
                  'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
    this.#openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                  '-subj', '/CN=localhost', '-keyout', 'server.key', '-out', 'server.csr');
    this.#openssl('x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key',
                  '-CAcreateserial', '-days', '1', '-extfile', 'extensions', '-out', 'server.pem');
    const own = this.#read('server.pem');
    return {certificate: own + this.certificate, key: this.#read('server.key'),
            serial: new X509Certificate(own).serialNumber};
  }

  // Where a server reads its files.
  get files() {
    return {certificate: path.join(this.#folder, 'tls.pem'),
            key: path.join(this.#folder, 'tls.key')};
  }
  // Puts them there: each at once, one behind the other.
  install({certificate, key}) {
    for (const [file, text] of [[this.files.certificate, certificate], [this.files.key, key]]) {
      writeFileSync(`${file}.new`, text);
      renameSync(`${file}.new`, file);
    }
  }
  // As a careless tool does it: in place.
  overwrite(which, text) { writeFileSync(this.files[which], text); }
  remove() { rmSync(this.#folder, {recursive: true}); }
}
