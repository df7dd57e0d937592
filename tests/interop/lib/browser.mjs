// Real Chromium with fake devices, and pages in it which publish and play with the console's own
// modules.

import {chromium} from 'playwright-core';

import * as script from './page_scripts.mjs';
import {until} from './until.mjs';

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
  // Pages of one browser hide each other: none of them may be slowed down for that.
  '--disable-background-timer-throttling', '--disable-renderer-backgrounding',
  '--disable-backgrounding-occluded-windows',
  '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
  '--autoplay-policy=no-user-gesture-required', '--allow-loopback-in-peer-connection',
];

export async function launch({flags = []} = {}) {
  return chromium.launch({
    executablePath: process.env.VIGIL_CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: [...FLAGS, ...flags],
  });
}

// A page of the console in a profile of its own, with the scripts of page_scripts.mjs at hand.
export class Page {
  errors = [];

  static async open(browser, baseUrl) {
    const context = await browser.newContext({permissions: ['camera', 'microphone']});
    const page = new Page();
    page.raw = await context.newPage();
    page.raw.on('pageerror', (error) => page.errors.push(String(error)));
    await page.raw.goto(`${baseUrl}/`);
    await page.install();
    return page;
  }

  // Again after every reload.
  install() { return this.raw.evaluate(script.install); }

  // Each returns what the function of the same name in page_scripts.mjs does.
  publish(options) { return this.raw.evaluate(script.publish, options); }
  play(options) { return this.raw.evaluate(script.play, options); }
  untilCaptureTime(slot) { return this.raw.evaluate(script.untilCaptureTime, {slot}); }
  received(name) { return this.raw.evaluate(script.received, name); }
  sent(name) { return this.raw.evaluate(script.sent, name); }
  colour(name, slot) { return this.raw.evaluate(script.colour, {name, slot}); }
  assign(name, slot, feed) { return this.raw.evaluate(script.assign, {name, slot, feed}); }

  // Waits until `condition` holds for the outbound statistics of `kind`; returns them all.
  untilSent(kind, condition) {
    return until(`what is sent as ${kind}`, async () => {
      const sent = await this.sent();
      return sent[kind] && condition(sent[kind]) && sent;
    });
  }
  close(name) { return this.raw.evaluate(script.close, name); }
  closeAll() { return this.raw.evaluate(script.closeAll); }
  state(name) { return this.raw.evaluate(script.state, name); }
}
