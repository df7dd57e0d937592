// Rooms that send to physicians while something else happens, and what of it arrived.

import {spawn} from 'node:child_process';
import {once} from 'node:events';
import readline from 'node:readline';
import {fileURLToPath} from 'node:url';

const OFFERS = fileURLToPath(new URL('../../fixtures/sdp', import.meta.url));

export class MediaLoad {
  #process;
  #lines;

  // Resolves when media arrives. The binary is named by VIGIL_LOAD_MEDIA; `before` goes in front of
  // it, `token` is a controller's.
  static async start(gateway, {rooms = 2, token, before = []} = {}) {
    const binary = process.env.VIGIL_LOAD_MEDIA;
    if (!binary) throw new Error('VIGIL_LOAD_MEDIA must name the vigil_media_load binary');
    const [program, ...args] = [
      ...before, binary, '--server', gateway.grpc, '--offers', OFFERS, '--rooms', String(rooms),
      ...(token ? ['--token', token] : [])];
    const media = new MediaLoad();
    media.#process = spawn(program, args, {stdio: ['pipe', 'pipe', 'inherit']});
    media.#lines = readline.createInterface({input: media.#process.stdout});
    const line = await media.#line();
    if (line !== 'ready') throw new Error(`no media: ${line}`);
    return media;
  }

  async #line() {
    const [line] = await Promise.race([once(this.#lines, 'line'), once(this.#lines, 'close')]);
    return line;
  }

  // It ends by itself then.
  end() {
    this.#process.stdin.end();
  }

  // How many packets were sent, and how many arrived.
  async stop() {
    this.end();
    const [, sent, received] = /^sent (\d+), received (\d+)$/.exec(await this.#line());
    return {sent: Number(sent), received: Number(received)};
  }
}
