import {openDevices} from './devices.js';
import {Meter, describe, describeRoundTrip} from './meter.js';
import {WhepClient} from './whep.js';
import {WhipClient} from './whip.js';

// How often the figures are read again. Faster makes the rates jump, slower makes them old.
const READ_EVERY_MS = 1000;
// A tile is greyed out when its newest frame is older than this.
const STALE_AFTER_MS = 1000;

const WORDS = {
  new: 'starting', connecting: 'connecting', connected: 'connected',
  disconnected: 'no answer, waiting', failed: 'connection lost', closed: 'closed',
};

// One picture with its caption. Knows how old the frame on the screen is.
class Tile {
  #root = document.querySelector('#tile').content.firstElementChild.cloneNode(true);
  #newestFrameAt = null;
  #timer;

  constructor(parent, {name, stream, onSwitch}) {
    this.video = this.#find('video');
    this.video.srcObject = stream;
    this.name = name;
    this.track = stream.getVideoTracks()[0];
    parent.append(this.#root);
    this.#watchFrames();
    this.#timer = setInterval(() => this.#showAge(), STALE_AFTER_MS / 4);
    if (onSwitch) this.#offerSwitch(onSwitch);
  }

  set name(name) {
    this.#find('.name').textContent = name;
    this.video.setAttribute('aria-label', name);
  }

  show(state, figures, roundTripSeconds) {
    const element = this.#find('.state');
    element.dataset.state = state;
    const word = WORDS[state] ?? state;
    if (element.textContent !== word) element.textContent = word;  // Spoken only when it changes.
    const roundTrip = describeRoundTrip(roundTripSeconds);
    const parts = [describe(figures), roundTrip && `round trip ${roundTrip}`];
    this.#find('.figures').textContent = parts.filter(Boolean).join(' · ');
  }

  remove() {
    clearInterval(this.#timer);
    this.video.srcObject = null;
    this.#root.remove();
  }

  #find(selector) { return this.#root.querySelector(selector); }

  #watchFrames() {
    const seen = () => {
      this.#newestFrameAt = performance.now();
      this.video.requestVideoFrameCallback(seen);
    };
    this.video.requestVideoFrameCallback(seen);
  }

  #showAge() {
    const age = this.#newestFrameAt === null ? 0 : performance.now() - this.#newestFrameAt;
    const stale = this.track && age > STALE_AFTER_MS;
    this.#root.classList.toggle('is-stale', Boolean(stale));
    const words = stale ? `no new picture for ${Math.floor(age / 1000)} s` : '';
    if (this.#find('.stale').textContent !== words) this.#find('.stale').textContent = words;
  }

  #offerSwitch(onSwitch) {
    const form = this.#find('.switch');
    form.hidden = false;
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      onSwitch(new FormData(form).get('feed'), this);
    });
  }
}

// A form that starts something and, pressed again, stops it.
class Panel {
  #form;
  #error;
  #button;
  #startWord;
  #running = null;
  #timer = null;

  constructor(form) {
    this.#form = form;
    this.#error = form.parentElement.querySelector('.error');
    this.tiles = form.parentElement.querySelector('.tiles');
    this.#button = form.querySelector('button');
    this.#startWord = this.#button.textContent;
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#toggle();
    });
    addEventListener('pagehide', () => this.#running?.client.close());
  }

  fail(error) {
    this.#error.textContent = error.message;
    this.#error.hidden = false;
  }

  async #toggle() {
    this.#error.hidden = true;
    this.#button.disabled = true;
    try {
      if (this.#running) {
        await this.#stop();
      } else {
        this.#watch(await this.start(new FormData(this.#form)));
      }
    } catch (error) {
      this.fail(error);
    }
    this.#button.disabled = false;
    this.#button.textContent = this.#running ? 'Stop' : this.#startWord;
  }

  #watch(running) {
    this.#running = running;
    const meter = new Meter(running.client.peer);
    const show = async () => {
      const {roundTripSeconds, byTrack} = await meter.read();
      for (const tile of running.tiles) {
        tile.show(running.client.state, byTrack.get(tile.track?.id), roundTripSeconds);
      }
    };
    running.client.addEventListener('state', show);
    this.#timer = setInterval(show, READ_EVERY_MS);
    show();
  }

  async #stop() {
    const {client, tiles, release} = this.#running;
    this.#running = null;
    clearInterval(this.#timer);
    release?.();
    for (const tile of tiles) tile.remove();
    await client.close();
  }
}

// Names this browser, so that a reloaded page replaces its own feed, and another browser is told
// that the feed is held. Opaque, and of no use for anything else.
function device() {
  let name = localStorage.getItem('device');
  if (!name) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    name = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    localStorage.setItem('device', name);
  }
  return name;
}

function token() { return document.querySelector('#token').value.trim(); }

class PublishPanel extends Panel {
  async start(form) {
    const name = `${form.get('participant')}/${form.get('feed')}`;
    const stream = await openDevices({picture: form.has('picture'), sound: form.has('sound')});
    const release = () => stream.getTracks().forEach((track) => track.stop());
    try {
      const client = new WhipClient(`/whip/${name}?device=${device()}`, {token: token()});
      await client.publish(stream, {codec: form.get('codec')});
      return {client, release, tiles: [new Tile(this.tiles, {name, stream})]};
    } catch (error) {
      release();
      throw error;
    }
  }
}

class PlayPanel extends Panel {
  async start(form) {
    const feeds = form.get('feeds').split(',').map((feed) => feed.trim());
    const url = `/whep/${form.get('participant')}?feeds=${feeds.join(',')}`;
    const client = new WhepClient(url, {token: token()});
    await client.play({pictures: feeds.length, sounds: feeds.length});
    const sounds = client.sounds.map(({stream}) => playSound(stream));
    const tiles = client.pictures.map(({stream}, n) => new Tile(this.tiles, {
      name: feeds[n], stream, onSwitch: (feed, tile) => this.#switch(client, {n, feed, tile}),
    }));
    const release = () => sounds.forEach((sound) => { sound.srcObject = null; });
    return {client, tiles, release};
  }

  // Picture and sound of one tile change together.
  async #switch(client, {n, feed, tile}) {
    try {
      await client.assign(client.slots.indexOf(client.pictures[n]), feed);
      await client.assign(client.slots.indexOf(client.sounds[n]), feed);
      tile.name = feed;
    } catch (error) {
      this.fail(error);
    }
  }
}

function playSound(stream) {
  const sound = new Audio();
  sound.srcObject = stream;
  sound.play();
  return sound;
}

new PublishPanel(document.querySelector('#publish'));
new PlayPanel(document.querySelector('#play'));
