// What the tests mean by "it plays".

import {until} from './until.mjs';

// Waits until slots `pictures` and `sounds` of a player (indexes; default: one of each) have gone
// on by `frames` decoded frames and by a second of sound since now. Returns all slots' statistics.
export async function untilPlaying(page, options = {}) {
  const {name = 'player', pictures = [0], sounds = [1], frames = 30, withinMs = 30_000} = options;
  const start = await page.received(name);
  const progress = (now, field) => (now[field] ?? 0) - (start[now.index][field] ?? 0);
  return until(`${frames} more frames, and sound`, async () => {
    const slots = (await page.received(name)).map((slot, index) => ({...slot, index}));
    const areSeen = pictures.every((n) => progress(slots[n], 'framesDecoded') >= frames);
    // An Opus packet is 20 ms.
    const areHeard = sounds.every((n) => progress(slots[n], 'packetsReceived') >= 50 &&
                                         progress(slots[n], 'totalAudioEnergy') > 0);
    if (areSeen && areHeard) return slots;
    throw new Error(JSON.stringify(slots.map(({codec, framesDecoded, packetsReceived,
                                               totalAudioEnergy, pliCount, packetsLost}) =>
      ({codec, framesDecoded, packetsReceived, totalAudioEnergy, pliCount, packetsLost}))));
  }, {withinMs});
}

// The name of a colour seen in a picture, after codec and colour space have bent it a little.
export function nameOf({red, green, blue}) {
  const bright = (value) => value > 150;
  const dark = (value) => value < 90;
  if (bright(red) && dark(green) && dark(blue)) return 'red';
  if (dark(red) && dark(green) && bright(blue)) return 'blue';
  return `rgb(${red}, ${green}, ${blue})`;
}
