import {Connection, GatewayError} from './connection.js';

// The codecs of `kind` this browser can send under one name ("VP8", "H264", ...), and what they
// need for retransmission. Empty when it cannot send that codec.
export function codecsNamed(kind, name) {
  const all = RTCRtpSender.getCapabilities(kind).codecs;
  const named = all.filter((codec) => codec.mimeType.toLowerCase() ===
                                      `${kind}/${name}`.toLowerCase());
  const repair = all.filter((codec) => codec.mimeType.toLowerCase() === `${kind}/rtx`);
  return named.length > 0 ? [...named, ...repair] : [];
}

// Publishes one feed: at most one picture track and one sound track.
export class WhipClient extends Connection {
  // `stream` gives the tracks. `codec` is the picture codec to use, or empty for the browser's own
  // choice. `maxBitrate` bounds the picture, in bits per second. Throws GatewayError.
  async publish(stream, {codec = '', maxBitrate = 0} = {}) {
    const [picture] = stream.getVideoTracks();
    const [sound] = stream.getAudioTracks();
    if (!picture && !sound) throw new GatewayError('There is neither a camera nor a microphone.');
    if (sound) this.peer.addTransceiver(sound, {direction: 'sendonly', streams: [stream]});
    if (picture) this.#addPicture(picture, stream, {codec, maxBitrate});
    await this.negotiate();
  }

  #addPicture(track, stream, {codec, maxBitrate}) {
    const sendEncodings = maxBitrate > 0 ? [{maxBitrate}] : [];
    const options = {direction: 'sendonly', streams: [stream], sendEncodings};
    const transceiver = this.peer.addTransceiver(track, options);
    if (!codec) return;
    const codecs = codecsNamed('video', codec);
    if (codecs.length === 0) throw new GatewayError(`This browser cannot send ${codec}.`);
    transceiver.setCodecPreferences(codecs);
  }
}
