import {Connection} from './connection.js';

// Plays slots: fixed tracks, whose feeds are changed at run time without a new offer.
export class WhepClient extends Connection {
  // Slots in the order of their m-lines; what AssignSlot calls `slot` is the index in here.
  slots = [];

  // Asks for that many picture and sound slots. What they carry at first is said by `?feeds=` of
  // the URL. Each picture is a stream of its own, so that lip-sync holds nothing back. Throws
  // GatewayError.
  async play({pictures = 1, sounds = 1} = {}) {
    const kinds = [...Array(pictures).fill('video'), ...Array(sounds).fill('audio')];
    this.slots = kinds.map((kind) => {
      const transceiver = this.peer.addTransceiver(kind, {direction: 'recvonly'});
      const {track} = transceiver.receiver;
      return {kind, transceiver, track, stream: new MediaStream([track])};
    });
    await this.negotiate();
    for (const {transceiver: {receiver}} of this.slots) {
      // As little delay as the network allows: a late picture is worse than a dropped one.
      receiver.jitterBufferTarget = 0;
    }
  }

  get pictures() { return this.slots.filter(({kind}) => kind === 'video'); }
  get sounds() { return this.slots.filter(({kind}) => kind === 'audio'); }

  // Lets slot number `slot` carry another feed; an empty feed clears it. Throws GatewayError.
  async assign(slot, feed) {
    await this.call('MediaService/AssignSlot', {peer: this.id, slot, feed});
  }
}
