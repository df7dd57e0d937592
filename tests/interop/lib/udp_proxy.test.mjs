import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import {once} from 'node:events';
import {test} from 'node:test';

import {Impairment, UdpProxy} from './udp_proxy.mjs';
import {until, within} from './until.mjs';

const PACKETS = 20_000;

function fates(seed, settings, now = () => 0) {
  const impairment = new Impairment(seed, settings);
  const delays = Array.from({length: PACKETS}, (_, n) => impairment.decide(now(n)));
  return {delays, counters: impairment.counters};
}

test('the same seed has the same fate, another seed another', () => {
  const settings = {loss: 0.05, jitterMs: 5, reorder: 0.01, duplicate: 0.01};
  assert.deepEqual(fates(7, settings), fates(7, settings));
  assert.notDeepEqual(fates(7, settings), fates(8, settings));
});

test('a clean network changes nothing', () => {
  const {delays, counters} = fates(1, {});
  assert.ok(delays.every((d) => d.length === 1 && d[0] === 0));
  assert.deepEqual(counters, {received: PACKETS, lost: 0, duplicated: 0, reordered: 0});
});

test('loss and duplicates come as often as asked and are counted', () => {
  const {delays, counters} = fates(3, {loss: 0.05, duplicate: 0.02});
  assert.equal(delays.filter((d) => d.length === 0).length, counters.lost);
  assert.equal(delays.filter((d) => d.length === 2).length, counters.duplicated);
  assert.ok(Math.abs(counters.lost / PACKETS - 0.05) < 0.01, JSON.stringify(counters));
  assert.ok(Math.abs(counters.duplicated / PACKETS - 0.02) < 0.01, JSON.stringify(counters));
});

test('burst loss comes in runs', () => {
  const {delays, counters} = fates(3, {burst: {enter: 0.01, leave: 0.25}});
  const runs = delays.filter((d, n) => d.length === 0 && delays[n - 1]?.length !== 0).length;
  const mean = counters.lost / runs;
  assert.ok(mean > 3 && mean < 5, `mean run ${mean}`);
});

test('jitter keeps the order and reordering does not', () => {
  const due = (settings) => {
    const now = (n) => n * 2;
    return fates(5, settings, now).delays.map(([delay], n) => now(n) + delay);
  };
  const isSorted = (times) => times.every((t, n) => n === 0 || t >= times[n - 1]);
  assert.ok(isSorted(due({delayMs: 10, jitterMs: 30})));
  assert.ok(!isSorted(due({reorder: 0.05, reorderMs: 20})));
});

test('a misspelt impairment is refused', () => {
  assert.throws(() => new Impairment(1, {lost: 0.5}), /no such impairment: lost/);
});

async function echoServer(t) {
  const socket = dgram.createSocket('udp4');
  socket.on('message', (packet, from) => {
    socket.send(`${packet}@${from.port}`, from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(() => socket.close());
  return {host: '127.0.0.1', port: socket.address().port};
}

async function client(t, port) {
  const socket = dgram.createSocket('udp4');
  const replies = [];
  socket.on('message', (packet) => replies.push(String(packet)));
  socket.connect(port, '127.0.0.1');
  await within(5000, 'connect', once(socket, 'connect'));
  t.after(() => socket.close());
  return {socket, replies};
}

test('packets pass both ways and each client has its own address', async (t) => {
  const proxy = await UdpProxy.start(await echoServer(t));
  t.after(() => proxy.close());
  const [a, b] = [await client(t, proxy.port), await client(t, proxy.port)];
  a.socket.send('a');
  b.socket.send('b');
  const [fromA] = await until('the reply to a', () => a.replies.length && a.replies);
  const [fromB] = await until('the reply to b', () => b.replies.length && b.replies);
  assert.match(fromA, /^a@\d+$/);
  assert.match(fromB, /^b@\d+$/);
  assert.notEqual(fromA.slice(2), fromB.slice(2));
  assert.equal(proxy.clientCount, 2);
});

test('delayed packets arrive in order and lost ones never', async (t) => {
  const proxy = await UdpProxy.start(await echoServer(t), {up: {delayMs: 5, jitterMs: 10}});
  t.after(() => proxy.close());
  const {socket, replies} = await client(t, proxy.port);
  for (let n = 0; n < 20; ++n) socket.send(String(n).padStart(2, '0'));
  await until('20 replies', () => replies.length === 20);
  assert.deepEqual([...replies].sort(), replies);
  proxy.down.set({loss: 1});
  socket.send('gone');
  await until('the loss', () => proxy.down.counters.lost === 1);
  assert.equal(replies.length, 20);
  assert.deepEqual(proxy.up.counters, {received: 21, lost: 0, duplicated: 0, reordered: 0});
});

test('an injected packet comes from the address of the client', async (t) => {
  const proxy = await UdpProxy.start(await echoServer(t));
  t.after(() => proxy.close());
  const seen = [];
  proxy.observer = (direction, packet) => seen.push(`${direction} ${String(packet)[0]}`);
  const {socket, replies} = await client(t, proxy.port);
  socket.send('a');
  await until('the first reply', () => replies.length === 1);
  proxy.inject('b');
  await until('the reply to the injected one', () => replies.length === 2);
  assert.equal(replies[0].slice(1), replies[1].slice(1));
  assert.deepEqual(seen, ['up a', 'down a', 'down b']);
});

test('until says what it waited for and what it saw', async () => {
  await assert.rejects(until('the moon', () => 0, {withinMs: 20, everyMs: 5}),
                       /waited 20 ms for the moon; last: 0/);
  await assert.rejects(until('x', () => { throw new Error('not yet'); }, {withinMs: 5}), /not yet/);
  await assert.rejects(within(5, 'silence', new Promise(() => {})), /silence: nothing after 5 ms/);
});
