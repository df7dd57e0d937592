// What flows, in figures for people. Reads getStats of one connection and remembers the last
// reading, because rates are differences.
export class Meter {
  #peer;
  #last = new Map();

  constructor(peer) { this.#peer = peer; }

  // {roundTripSeconds, byTrack: Map(track id -> {bitsPerSecond, width, height, framesPerSecond,
  // codec})}. A figure that is not known yet is undefined.
  async read() {
    const report = await this.#peer.getStats();
    const byTrack = new Map();
    let roundTripSeconds;
    for (const entry of report.values()) {
      if (entry.type === 'candidate-pair' && entry.nominated) {
        roundTripSeconds = entry.currentRoundTripTime;
      } else if (entry.type === 'inbound-rtp') {
        byTrack.set(entry.trackIdentifier, this.#figures(entry, entry.bytesReceived, report));
      } else if (entry.type === 'outbound-rtp') {
        const track = report.get(entry.mediaSourceId)?.trackIdentifier;
        if (track) byTrack.set(track, this.#figures(entry, entry.bytesSent, report));
      }
    }
    return {roundTripSeconds, byTrack};
  }

  #figures(entry, bytes, report) {
    const before = this.#last.get(entry.id);
    this.#last.set(entry.id, {bytes, time: entry.timestamp});
    const elapsed = before ? (entry.timestamp - before.time) / 1000 : 0;
    return {
      bitsPerSecond: elapsed > 0 ? 8 * (bytes - before.bytes) / elapsed : undefined,
      width: entry.frameWidth,
      height: entry.frameHeight,
      framesPerSecond: entry.framesPerSecond,
      codec: report.get(entry.codecId)?.mimeType.split('/')[1],
    };
  }
}

// "640 × 480, 30 fps, VP8, 1.2 Mb/s"; what is unknown is left out.
export function describe(figures) {
  if (!figures) return '';
  const {width, height, framesPerSecond, codec, bitsPerSecond} = figures;
  const parts = [];
  if (width && height) parts.push(`${width} × ${height}`);
  if (framesPerSecond !== undefined) parts.push(`${Math.round(framesPerSecond)} fps`);
  if (codec) parts.push(codec);
  if (bitsPerSecond !== undefined) parts.push(describeRate(bitsPerSecond));
  return parts.join(', ');
}

function describeRate(bitsPerSecond) {
  if (bitsPerSecond >= 1e6) return `${(bitsPerSecond / 1e6).toFixed(1)} Mb/s`;
  return `${Math.round(bitsPerSecond / 1e3)} kb/s`;
}

export function describeRoundTrip(seconds) {
  return seconds === undefined ? '' : `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
}
