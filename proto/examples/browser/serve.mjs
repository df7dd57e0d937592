// Serves this folder with an import map instead of a bundler: node serve.mjs [PORT]

import {execFileSync} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import http from 'node:http';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const PROTO = path.join(HERE, '../..');
const PACKAGES = ['@bufbuild/protobuf', '@connectrpc/connect', '@connectrpc/connect-web'];
const TYPES = {'.html': 'text/html; charset=utf-8', '.js': 'text/javascript',
               '.binpb': 'application/octet-stream'};

// The API's descriptors, as vigil.v1.binpb.
function descriptors() {
  const folder = mkdtempSync(path.join(tmpdir(), 'vigil-example-'));
  const file = path.join(folder, 'vigil.v1.binpb');
  execFileSync(process.env.VIGIL_PROTOC ?? 'protoc', [
    `-I${PROTO}`, '--include_imports', `--descriptor_set_out=${file}`,
    'vigil/v1/common.proto', 'vigil/v1/media.proto']);
  const bytes = readFileSync(file);
  rmSync(folder, {recursive: true});
  return bytes;
}

// Where a page finds what the packages export to modules.
function importMap(modules) {
  const imports = {};
  for (const name of PACKAGES) {
    const {exports} = JSON.parse(readFileSync(path.join(modules, name, 'package.json'), 'utf8'));
    for (const [entry, target] of Object.entries(exports)) {
      if (!target.import) continue;
      const file = target.import.default ?? target.import;
      imports[path.posix.join(name, entry)] = `/modules/${path.posix.join(name, file)}`;
    }
  }
  return `<script type="importmap">${JSON.stringify({imports})}</script>`;
}

// `modules`: the node_modules folder with the packages. Resolves with the listening server.
export async function serve(port = 8000, modules = path.join(HERE, 'node_modules')) {
  const page = readFileSync(path.join(HERE, 'index.html'), 'utf8');
  const files = {'/': page.replace('<!-- IMPORT MAP -->', importMap(modules)),
                 '/vigil.v1.binpb': descriptors()};
  for (const name of ['api.js', 'app.js']) files[`/${name}`] = readFileSync(path.join(HERE, name));
  const server = http.createServer((request, response) => {
    const {pathname} = new URL(request.url, 'http://localhost');
    const type = TYPES[pathname === '/' ? '.html' : path.extname(pathname)];
    try {
      const body = files[pathname] ?? (pathname.startsWith('/modules/') && type &&
        readFileSync(path.join(modules, pathname.slice('/modules'.length))));
      if (!body) throw new Error(pathname);
      response.writeHead(200, {'Content-Type': type}).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve, reject) => {
    server.once('error', reject).listen(port, 'localhost', resolve);
  });
  return server;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const server = await serve(Number(process.argv[2] ?? 8000));
  console.log(`http://localhost:${server.address().port}/`);
}
