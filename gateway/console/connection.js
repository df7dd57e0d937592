// One WebRTC connection to the gateway, agreed in one HTTP exchange: the offer goes out with POST,
// the answer comes back with 201 and the address of the resource in Location, DELETE ends it
// (WHIP: RFC 9725; WHEP: draft-ietf-wish-whep).

const CAPTURE_TIME = 'http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time';

// What went wrong, in words for the person in front of the page. `status` is the HTTP status, 0 if
// there was no answer at all; `code` and `reason` ("not_found", "FEED_NOT_FOUND") are the API's
// where it sent them.
export class GatewayError extends Error {
  constructor(message, {status = 0, code = '', reason = ''} = {}) {
    super(message);
    this.name = 'GatewayError';
    this.status = status;
    this.code = code;
    this.reason = reason;
  }
}

// Adds abs-capture-time to every m-section that has no such line: browsers know the extension but
// do not offer it unasked, and without it nobody can tell how old a picture is. The id is one that
// no m-section uses, because bundled sections share their ids (RFC 8843, 9.1).
export function withCaptureTime(sdp) {
  const used = new Set([...sdp.matchAll(/^a=extmap:(\d+)/gm)].map((match) => Number(match[1])));
  const known = sdp.match(new RegExp(`^a=extmap:(\\d+)\\S* ${CAPTURE_TIME}`, 'm'));
  let id = known ? Number(known[1]) : 1;
  while (!known && used.has(id)) ++id;
  if (id > 14) return sdp;  // One-byte header extensions end here (RFC 8285, 4.2).
  const [session, ...sections] = sdp.split(/^(?=m=)/m);
  return session + sections.map((section) => {
    if (!/^m=(audio|video) /.test(section) || section.includes(CAPTURE_TIME)) return section;
    return section.replace(/^(a=mid:.*\r\n)/m, `$1a=extmap:${id} ${CAPTURE_TIME}\r\n`);
  }).join('');
}

// Lets a player that sends no media learn its round trip by receiver reference time (RFC 3611,
// 4.4): without it Chromium never relates the gateway's clock to its own, and frames have no
// captureTime.
export function withReferenceTime(sdp) {
  const [session, ...sections] = sdp.split(/^(?=m=)/m);
  return session + sections.map((section) => {
    if (!/^a=recvonly/m.test(section)) return section;
    return section.replace(/^a=rtpmap:(\d+) (opus|VP8|VP9|AV1|H264)\/.*\r\n/gmi,
                           '$&a=rtcp-fb:$1 rrtr\r\n');
  }).join('');
}

// Emits `state` when connectionState changes. A connection is used once.
export class Connection extends EventTarget {
  #token;
  #rewriteAnswer;

  // `url` is the WHIP or WHEP endpoint. `token` is a bearer token, or empty. `rewriteAnswer` may
  // change the answer before it is applied: tests lead the media through a lossy proxy with it.
  constructor(url, {token = '', rewriteAnswer = (sdp) => sdp} = {}) {
    super();
    this.url = new URL(url, document.baseURI);
    this.resource = null;    // The URL to DELETE, once there is one.
    this.entityTag = null;   // ETag of the ICE session (RFC 9725, 4.3.1).
    this.requestedAt = 0;    // performance.now() just before the POST.
    this.peer = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
    this.peer.addEventListener('connectionstatechange', () => {
      this.dispatchEvent(new Event('state'));
    });
    this.#token = token;
    this.#rewriteAnswer = rewriteAnswer;
  }

  get state() { return this.peer.connectionState; }

  // The gateway's name of this connection: the last segment of Location.
  get id() { return this.resource?.pathname.split('/').pop() ?? ''; }

  // Sends the offer at once: an ICE-lite gateway learns our addresses from our checks, so waiting
  // for candidates would only delay the first picture. Throws GatewayError.
  async negotiate() {
    try {
      const offer = await this.peer.createOffer();
      const sdp = withReferenceTime(withCaptureTime(offer.sdp));
      await this.peer.setLocalDescription({type: 'offer', sdp});
      this.requestedAt = performance.now();
      const response = await this.request('POST', this.url, this.peer.localDescription.sdp);
      this.resource = new URL(response.headers.get('Location'), this.url);
      this.entityTag = response.headers.get('ETag');
      const answer = this.#rewriteAnswer(await response.text());
      await this.peer.setRemoteDescription({type: 'answer', sdp: answer});
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  // Calls a unary method of the gateway, "MediaService/AssignSlot", as Connect JSON.
  async call(method, message) {
    const url = new URL(`/vigil.v1.${method}`, this.url);
    const response = await this.request('POST', url, JSON.stringify(message), 'application/json');
    return response.json();
  }

  async request(method, url, body, type = 'application/sdp') {
    const headers = {};
    if (body !== undefined) headers['Content-Type'] = type;
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    let response;
    try {
      // keepalive lets the DELETE of a page that is being left still go out. It bounds bodies to
      // 64 kB, so offers go without.
      response = await fetch(url, {method, headers, body, keepalive: method === 'DELETE'});
    } catch {
      throw new GatewayError('The gateway does not answer. Check the network and the address.');
    }
    if (!response.ok) throw await refusal(response);
    return response;
  }

  // Ends the connection here and at the gateway. Never throws: what is gone is gone.
  async close() {
    if (this.peer.signalingState !== 'closed') {
      this.peer.close();
      this.dispatchEvent(new Event('state'));  // A closed RTCPeerConnection says nothing itself.
    }
    const resource = this.resource;
    this.resource = null;
    if (resource) await this.request('DELETE', resource).catch(() => {});
  }
}

const WORDS = {
  401: 'The gateway asks for a token.',
  403: 'This token does not allow it.',
  404: 'There is nothing under this name.',
  409: 'This feed is being published from another device.',
  429: 'These were too many requests. Wait a moment.',
  503: 'The gateway is full or shutting down.',
};

async function refusal(response) {
  const text = (await response.text()).trim();
  let code = '';
  let reason = '';
  let message = text;
  try {
    let details = [];
    ({code = '', message = text, details = []} = JSON.parse(text));
    reason = details.find(({type}) => type === 'google.rpc.ErrorInfo')?.debug?.reason ?? '';
  } catch {
    // Plain text, as WHIP answers.
  }
  const words = WORDS[response.status] ?? `The gateway refused (${response.status}).`;
  return new GatewayError(message ? `${words} ${message}` : words,
                          {status: response.status, code, reason});
}
