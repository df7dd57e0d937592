// A bad network between a client and the gateway: a UDP relay that loses, delays, reorders and
// duplicates, by a seed. It looks at no packet and changes none. Each client address gets a socket
// of its own toward the gateway, so the gateway sees as many addresses as there are.

import dgram from 'node:dgram';
import {once} from 'node:events';

// Uniform numbers in [0, 1) that repeat by seed (mulberry32).
export function seededRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

// What a direction does to a packet. Chances are 0 to 1, times are milliseconds.
//   loss                      of each packet, independently
//   burst {enter, leave}      a Gilbert-Elliott model: all is lost between entering and leaving
//   delayMs, jitterMs         a fixed delay and a uniform one on top; the order is kept
//   reorder, reorderMs        some packets are held back that much longer than the others
//   duplicate                 some packets are sent twice
const CLEAN = {loss: 0, burst: null, delayMs: 0, jitterMs: 0, reorder: 0, reorderMs: 20,
               duplicate: 0};

// Decides what becomes of the packets of one direction: a list of delays, empty when lost.
export class Impairment {
  counters = {received: 0, lost: 0, duplicated: 0, reordered: 0};
  #random;
  #settings = CLEAN;
  #inBurst = false;
  #lastDue = 0;

  constructor(seed, settings = {}) {
    this.#random = seededRandom(seed);
    this.set(settings);
  }

  // Replaces all settings; what is not named is off.
  set(settings) {
    for (const name of Object.keys(settings)) {
      if (!(name in CLEAN)) throw new Error(`no such impairment: ${name}`);
    }
    this.#settings = {...CLEAN, ...settings};
  }

  // `now` and the returned delays are milliseconds. Every packet draws the same number of random
  // values, so that changing one setting does not shift the fate of all later packets.
  decide(now) {
    const {loss, delayMs, jitterMs, reorder, reorderMs, duplicate} = this.#settings;
    const [lossDraw, burstDraw, jitterDraw, reorderDraw, duplicateDraw] =
      Array.from({length: 5}, this.#random);
    ++this.counters.received;
    if (this.#isInBurst(burstDraw) || lossDraw < loss) {
      ++this.counters.lost;
      return [];
    }
    let due = Math.max(now + delayMs + jitterDraw * jitterMs, this.#lastDue);
    if (reorderDraw < reorder) {
      ++this.counters.reordered;
      due += reorderMs;
    } else {
      this.#lastDue = due;
    }
    if (duplicateDraw >= duplicate) return [due - now];
    ++this.counters.duplicated;
    return [due - now, due - now];
  }

  #isInBurst(draw) {
    const {burst} = this.#settings;
    if (!burst) return false;
    this.#inBurst = this.#inBurst ? draw >= burst.leave : draw < burst.enter;
    return this.#inBurst;
  }
}

// Sends each thing when it is due, in the order of the times they are due.
class DelayLine {
  #waiting = [];  // By `due`, soonest first; the same time in the order of coming.
  #timer = null;

  push(due, send) {
    let at = this.#waiting.length;
    while (at > 0 && this.#waiting[at - 1].due > due) --at;
    this.#waiting.splice(at, 0, {due, send});
    this.#flush();
  }

  close() {
    clearTimeout(this.#timer);
    this.#waiting = [];
  }

  #flush() {
    const now = performance.now();
    while (this.#waiting.length > 0 && this.#waiting[0].due <= now) this.#waiting.shift().send();
    clearTimeout(this.#timer);
    if (this.#waiting.length === 0) return;
    this.#timer = setTimeout(() => this.#flush(), Math.ceil(this.#waiting[0].due - now));
  }
}

export class UdpProxy {
  up;    // From the clients to the gateway.
  down;  // From the gateway to the clients.
  // Sees every packet before its fate is decided: (direction "up" or "down", packet).
  observer = () => {};
  #target;
  #front = dgram.createSocket('udp4');
  #clients = new Map();
  #line = new DelayLine();

  constructor(target, {seed, up, down}) {
    this.#target = target;
    this.up = new Impairment(seed, up);
    this.down = new Impairment(seed ^ 0x5eed, down);
  }

  // `target` is {host, port}. Listens on a free port of 127.0.0.1.
  static async start(target, {seed = 1, up = {}, down = {}} = {}) {
    const proxy = new UdpProxy(target, {seed, up, down});
    proxy.#front.on('message', (packet, from) => proxy.#onClientPacket(packet, from));
    proxy.#front.on('error', () => {});  // A client that went away.
    proxy.#front.bind(0, '127.0.0.1');
    await once(proxy.#front, 'listening');
    proxy.#front.setRecvBufferSize(1 << 20);
    return proxy;
  }

  get port() { return this.#front.address().port; }
  get clientCount() { return this.#clients.size; }

  // Both directions of the same kind.
  set(settings) {
    this.up.set(settings);
    this.down.set(settings);
  }

  // Sends a packet to the gateway from the address of every client, as an attacker on the path
  // could.
  inject(packet) {
    for (const socket of this.#clients.values()) {
      socket.send(packet, this.#target.port, this.#target.host);
    }
  }

  close() {
    this.#line.close();
    for (const socket of this.#clients.values()) socket.close();
    this.#clients.clear();
    this.#front.close();
  }

  #onClientPacket(packet, from) {
    const key = `${from.address}:${from.port}`;
    let socket = this.#clients.get(key);
    if (!socket) {
      socket = dgram.createSocket('udp4');
      socket.on('message', (reply) => {
        this.observer('down', reply);
        this.#pass(this.down, () => this.#front.send(reply, from.port, from.address));
      });
      socket.on('error', () => {});  // The gateway's port may be closed.
      this.#clients.set(key, socket);
    }
    this.observer('up', packet);
    this.#pass(this.up, () => socket.send(packet, this.#target.port, this.#target.host));
  }

  #pass(impairment, send) {
    const now = performance.now();
    for (const delay of impairment.decide(now)) this.#line.push(now + delay, send);
  }
}

// One proxy in front of each media port of the gateway, as one thing.
export class ProxyRow {
  #proxies = [];
  ports = {};  // Media port of the gateway -> port of its proxy.

  static async start(targets, {seed = 1} = {}) {
    const row = new ProxyRow();
    for (const [n, target] of targets.entries()) {
      const proxy = await UdpProxy.start(target, {seed: seed + n});
      row.#proxies.push(proxy);
      row.ports[target.port] = proxy.port;
    }
    return row;
  }

  observe(observer) { for (const proxy of this.#proxies) proxy.observer = observer; }
  inject(packet) { for (const proxy of this.#proxies) proxy.inject(packet); }
  set(settings) { for (const proxy of this.#proxies) proxy.set(settings); }
  close() { for (const proxy of this.#proxies) proxy.close(); }

  // {up, down}: the counters of all proxies added up.
  counters() {
    const sum = {up: {}, down: {}};
    for (const proxy of this.#proxies) {
      for (const direction of ['up', 'down']) {
        for (const [name, value] of Object.entries(proxy[direction].counters)) {
          sum[direction][name] = (sum[direction][name] ?? 0) + value;
        }
      }
    }
    return sum;
  }
}
