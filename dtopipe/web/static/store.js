// The newest bins of every channel, lowest and highest value each, in rings of memory of their own.

const HEAD_BYTES = 32;
const MAGIC = 0x31425444; // "DTB1", little-endian

export class BinStore {
  constructor(nChannels, nBins) {
    this.nChannels = nChannels;
    this.nBins = nBins;
    this.low = Array.from({ length: nChannels }, () => new Float32Array(nBins).fill(NaN));
    this.high = Array.from({ length: nChannels }, () => new Float32Array(nBins).fill(NaN));
    this.first = null;
    this.stop = 0;
  }

  get start() {
    return this.first === null ? 0 : Math.max(this.first, this.stop - this.nBins);
  }

  // One binary frame, as dtopipe/web/frames.py writes it; false if it is none for this store.
  add(buffer) {
    const head = new DataView(buffer);
    if (buffer.byteLength < HEAD_BYTES || head.getUint32(0, true) !== MAGIC) return false;
    const nChannels = head.getUint32(4, true);
    const n = head.getUint32(8, true);
    if (nChannels !== this.nChannels || buffer.byteLength !== HEAD_BYTES + 8 * nChannels * n) return false;
    const first = head.getFloat64(16, true);
    const values = new Float32Array(buffer, HEAD_BYTES);
    if (this.first === null) this.first = this.stop = first;
    for (let bin = Math.max(this.stop, first - this.nBins); bin < first; bin++) this.#put(bin, NaN, NaN);
    for (let c = 0; c < nChannels; c++) {
      for (let i = 0; i < n; i++) {
        const place = (first + i) % this.nBins;
        this.low[c][place] = values[c * n + i];
        this.high[c][place] = values[(nChannels + c) * n + i];
      }
    }
    this.stop = Math.max(this.stop, first + n);
    return true;
  }

  #put(bin, low, high) {
    for (let c = 0; c < this.nChannels; c++) {
      this.low[c][bin % this.nBins] = low;
      this.high[c][bin % this.nBins] = high;
    }
  }

  // A picture of now, for who pauses: what comes later overwrites nothing of it.
  copy() {
    const other = new BinStore(0, this.nBins);
    other.nChannels = this.nChannels;
    other.low = this.low.map((values) => values.slice());
    other.high = this.high.map((values) => values.slice());
    other.first = this.first;
    other.stop = this.stop;
    return other;
  }

  // Lowest and highest value of each of about `columns` groups of bins between two bins; null where nothing is.
  columns(channel, from, to, columns) {
    const start = Math.max(this.start, Math.floor(from));
    const stop = Math.min(this.stop, Math.ceil(to) + 1);
    const step = Math.max(1, Math.ceil((stop - start) / columns));
    // Groups begin at whole multiples: they do not flicker while the window moves on.
    const xs = [], lows = [], highs = [];
    const low = this.low[channel], high = this.high[channel];
    for (let group = Math.floor(start / step) * step; group < stop; group += step) {
      let least = Infinity, most = -Infinity;
      for (let bin = Math.max(group, start); bin < Math.min(group + step, stop); bin++) {
        const place = bin % this.nBins;
        if (low[place] < least) least = low[place];
        if (high[place] > most) most = high[place];
      }
      xs.push(group + step / 2);
      lows.push(least <= most ? least : null);
      highs.push(least <= most ? most : null);
    }
    return { xs, lows, highs };
  }
}
