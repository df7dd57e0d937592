// The API as a client, made at run time of its descriptors (vigil.v1.binpb): no generated code.

import {createFileRegistry, fromBinary} from '@bufbuild/protobuf';
import {FileDescriptorSetSchema} from '@bufbuild/protobuf/wkt';
import {Code, createClient} from '@connectrpc/connect';
import {createConnectTransport} from '@connectrpc/connect-web';

// A client of vigil.v1.MediaService at `baseUrl`. `token` may be empty for a gateway without a
// login.
export async function mediaClient(baseUrl, token) {
  const response = await fetch('vigil.v1.binpb');
  if (!response.ok) throw new Error(`vigil.v1.binpb: ${response.status}`);
  const descriptors = fromBinary(FileDescriptorSetSchema,
                                 new Uint8Array(await response.arrayBuffer()));
  const service = createFileRegistry(descriptors).getService('vigil.v1.MediaService');
  const authorize = (next) => (request) => {
    if (token) request.header.set('Authorization', `Bearer ${token}`);
    return next(request);
  };
  return createClient(service, createConnectTransport({baseUrl, interceptors: [authorize]}));
}

// All pages of a list: `field` of each response.
export async function listAll(method, field) {
  const all = [];
  let pageToken = '';
  do {
    const page = await method({pageToken});
    all.push(...page[field]);
    pageToken = page.nextPageToken;
  } while (pageToken);
  return all;
}

// Calls `handle` with each message of a watch, for ever or until `signal` says so. After a break it
// goes on where it was; where that is no longer known it begins with a snapshot.
export async function watch(client, handle, {signal, onBreak = () => {}} = {}) {
  let resumeToken = '';
  while (!signal?.aborted) {
    try {
      for await (const message of client.watchMedia({resumeToken}, {signal})) {
        resumeToken = message.kind.case === 'lagged' ? '' : message.resumeToken || resumeToken;
        handle(message);
      }
    } catch (error) {
      if (signal?.aborted) return;
      if (error.code === Code.OutOfRange) resumeToken = '';
      if (error.code === Code.Unauthenticated || error.code === Code.PermissionDenied) throw error;
      onBreak(error);
    }
    await new Promise((resolve) => { setTimeout(resolve, 1_000); });
  }
}
