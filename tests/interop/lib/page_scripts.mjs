// Functions that run inside the page: each is sent there as text, so it may use only its argument
// and what install() left in `window.vigil`.

export async function install() {
  const [{WhipClient}, {WhepClient}] = await Promise.all([import('/whip.js'), import('/whep.js')]);

  // Leads the media elsewhere: `ports` maps ports of candidates to others, `transport` keeps only
  // the candidates of "udp" or "tcp".
  function rewriteAnswer({ports = {}, transport = ''} = {}) {
    return (sdp) => sdp.split('\r\n').flatMap((line) => {
      const match = /^(a=candidate:\S+ \d+ )(\S+)( \d+ \S+ )(\d+)( .*)$/.exec(line);
      if (!match) return [line];
      const [, head, protocol, middle, port, tail] = match;
      if (transport && protocol.toLowerCase() !== transport) return [];
      return [head + protocol + middle + (ports[port] ?? port) + tail];
    }).join('\r\n');
  }

  // A picture of one colour that moves a little, so that every frame differs, with a quiet tone.
  function coloured(colour, {width = 640, height = 360} = {}) {
    const canvas = Object.assign(document.createElement('canvas'), {width, height});
    const context = canvas.getContext('2d');
    let frame = 0;
    setInterval(() => {
      context.fillStyle = colour;
      context.fillRect(0, 0, width, height);
      context.fillStyle = '#000';
      context.fillRect(frame++ * 7 % width, 0, 24, 24);
    }, 1000 / 30);
    const audio = new AudioContext();
    const tone = new OscillatorNode(audio, {frequency: 440});
    const out = audio.createMediaStreamDestination();
    tone.connect(new GainNode(audio, {gain: 0.2})).connect(out);
    tone.start();
    return new MediaStream([...canvas.captureStream(30).getTracks(), ...out.stream.getTracks()]);
  }

  window.vigil = {WhipClient, WhepClient, rewriteAnswer, coloured, clients: new Map()};
}

// Publishes `feed` ("room-1/patient") under the local name `name`: the fake camera and microphone,
// or a moving picture of one `colour`. Resolves when the answer is applied.
export async function publish({name = 'publisher', feed, codec = '', colour, route, size}) {
  const {vigil} = window;
  const stream = colour ? vigil.coloured(colour, size) :
    await navigator.mediaDevices.getUserMedia({video: {width: 640, height: 480}, audio: true});
  const client = new vigil.WhipClient(`/whip/${feed}`, {rewriteAnswer: vigil.rewriteAnswer(route)});
  vigil.clients.set(name, client);
  await client.publish(stream, {codec, maxBitrate: 600_000});
  return {id: client.id, entityTag: client.entityTag, offer: client.peer.localDescription.sdp,
          answer: client.peer.remoteDescription.sdp};
}

// Plays `feeds` into slots of `name`, each shown by an element, so that frames are really rendered.
export async function play({name = 'player', participant, feeds, pictures, sounds, route}) {
  const {vigil} = window;
  const url = `/whep/${participant}?feeds=${feeds.join(',')}`;
  const client = new vigil.WhepClient(url, {rewriteAnswer: vigil.rewriteAnswer(route)});
  vigil.clients.set(name, client);
  await client.play({pictures: pictures ?? feeds.length, sounds: sounds ?? feeds.length});
  for (const slot of client.slots) {
    slot.element = document.createElement(slot.kind);
    Object.assign(slot.element, {autoplay: true, muted: slot.kind === 'video',
                                 srcObject: slot.stream});
    document.body.append(slot.element);
  }
  return {id: client.id, entityTag: client.entityTag, slots: client.slots.map(({kind}) => kind),
          offer: client.peer.localDescription.sdp, answer: client.peer.remoteDescription.sdp};
}

export async function assign({name = 'player', slot, feed}) {
  await window.vigil.clients.get(name).assign(slot, feed);
}

export async function close(name) { await window.vigil.clients.get(name).close(); }

export async function closeAll() {
  for (const client of window.vigil.clients.values()) await client.close();
}

export function state(name) { return window.vigil.clients.get(name).state; }

// The inbound statistics of each slot, in the order of slots, with the codec's name and the
// transport in use.
export async function received(name = 'player') {
  const client = window.vigil.clients.get(name);
  const report = await client.peer.getStats();
  const entries = [...report.values()];
  const pair = entries.find((entry) => entry.type === 'candidate-pair' && entry.nominated);
  return client.slots.map(({kind, track, element}) => {
    const entry = entries.find(({type, trackIdentifier}) => type === 'inbound-rtp' &&
                                                            trackIdentifier === track.id) ?? {};
    return {
      ...entry, kind, trackId: track.id,
      codec: report.get(entry.codecId)?.mimeType.split('/')[1],
      protocol: report.get(pair?.localCandidateId)?.protocol,
      shownWidth: element.videoWidth, shownHeight: element.videoHeight,
    };
  });
}

// The outbound statistics by kind: {video, audio}, each with what the gateway reports about it.
export async function sent(name = 'publisher') {
  const report = await window.vigil.clients.get(name).peer.getStats();
  const result = {};
  for (const entry of report.values()) {
    if (entry.type !== 'outbound-rtp') continue;
    result[entry.kind] = {
      ...entry,
      codec: report.get(entry.codecId)?.mimeType.split('/')[1],
      remote: report.get(entry.remoteId),
    };
  }
  return result;
}

// The colour in the middle of what slot number `slot` shows: {red, green, blue}, 0 to 255 each.
export function colour({name = 'player', slot = 0}) {
  const {element} = window.vigil.clients.get(name).slots[slot];
  const canvas = new OffscreenCanvas(1, 1);
  const context = canvas.getContext('2d');
  context.drawImage(element, element.videoWidth / 2, element.videoHeight / 2, 1, 1, 0, 0, 1, 1);
  const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
  return {red, green, blue};
}

// Resolves with the capture time of the first shown frame that has one (Chromium knows it only
// after the first sender reports).
export function untilCaptureTime({name = 'player', slot = 0}) {
  const {element} = window.vigil.clients.get(name).slots[slot];
  return new Promise((resolve) => {
    const look = (_, {captureTime}) => {
      if (captureTime) resolve(captureTime);
      else element.requestVideoFrameCallback(look);
    };
    element.requestVideoFrameCallback(look);
  });
}
