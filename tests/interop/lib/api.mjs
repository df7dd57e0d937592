// vigil.v1 for @connectrpc/connect, from the descriptors that protoc makes of proto/: no generated
// code. Needs protoc in the PATH or as VIGIL_PROTOC.

import {execFileSync} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

import {createFileRegistry, fromBinary} from '@bufbuild/protobuf';
import {FileDescriptorSetSchema} from '@bufbuild/protobuf/wkt';

const PROTO = fileURLToPath(new URL('../../../proto/', import.meta.url));
const FILES = ['vigil/v1/common.proto', 'vigil/v1/media.proto', 'vigil/v1/node.proto',
               'google/rpc/error_details.proto'];

// A FileDescriptorSet of the API, as bytes.
export function descriptorSet() {
  const folder = mkdtempSync(path.join(tmpdir(), 'vigil-proto-'));
  const file = path.join(folder, 'vigil.binpb');
  execFileSync(process.env.VIGIL_PROTOC ?? 'protoc',
               [`-I${PROTO}`, '--include_imports', `--descriptor_set_out=${file}`, ...FILES]);
  const bytes = readFileSync(file);
  rmSync(folder, {recursive: true});
  return bytes;
}

export const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptorSet()));
export const MediaService = registry.getService('vigil.v1.MediaService');
export const NodeService = registry.getService('vigil.v1.NodeService');
export const ErrorInfo = registry.getMessage('google.rpc.ErrorInfo');
export const RetryInfo = registry.getMessage('google.rpc.RetryInfo');
