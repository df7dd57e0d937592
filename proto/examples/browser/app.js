// Lists, watches and assigns. It publishes and plays nothing: that is WHIP's and WHEP's.

import {listAll, mediaClient, watch} from './api.js';

const byId = (id) => document.getElementById(id);
const item = (...content) => {
  const element = document.createElement('li');
  element.append(...content);
  return element;
};
const say = (text) => { byId('state').textContent = text; };

function selectOf(client, peer, slot, feeds) {
  const select = document.createElement('select');
  for (const name of new Set(['', slot.feed, ...feeds.map(({feed}) => feed)])) {
    select.add(new Option(name || '(nothing)', name, false, name === slot.feed));
  }
  select.addEventListener('change', async () => {
    try {
      await client.assignSlot({
        requestId: crypto.randomUUID(), peer: peer.peer, slot: slot.index, feed: select.value});
    } catch (error) {
      say(`not assigned: ${error.rawMessage}`);
    }
  });
  return select;
}

async function show(client) {
  const [feeds, participants] = await Promise.all([
    listAll(client.listFeeds, 'feeds'), listAll(client.listParticipants, 'participants')]);
  byId('feeds').replaceChildren(
    ...feeds.map(({feed, slots}) => item(`${feed}, in ${slots} slots`)));
  byId('slots').replaceChildren(...participants.flatMap(({participant, peers}) =>
    peers.flatMap((peer) => peer.slots.map((slot) => item(
      `${participant}, slot ${slot.index}: `, selectOf(client, peer, slot, feeds))))));
}

// One look at a time, and another when something happened meanwhile.
function refresher(look) {
  let [running, again] = [false, false];
  return async () => {
    again = true;
    if (running) return;
    running = true;
    while (again) {
      again = false;
      await look().catch((error) => say(error.message));
    }
    running = false;
  };
}

byId('login').addEventListener('submit', async (event) => {
  event.preventDefault();
  try {
    const client = await mediaClient(byId('gateway').value, byId('token').value);
    const refresh = refresher(() => show(client));
    await watch(client, (message) => {
      if (message.kind.case === 'heartbeat') return;
      say('watching');
      const what = message.kind.case === 'event' ? message.kind.value.kind.case : message.kind.case;
      byId('events').append(item(`${message.sequence} ${what}`));
      refresh();
    }, {onBreak: (error) => say(`${error.rawMessage ?? error.message}; trying again`)});
  } catch (error) {
    say(error.message);
  }
});
