// What a scope draws of a run in progress: the bins that have come, or as they were when it was paused.

import { BinStore } from "/static/store.js";

export class LiveProvider {
  constructor(description, added) {
    this.binS = description.bin_samples / description.rate_hz;
    this.store = new BinStore(description.channels.length, description.history_bins);
    this.held = null;
    this.added = added;
  }

  add(buffer) {
    if (this.store.add(buffer)) this.added();
  }

  begin() { return this.store.start * this.binS; }
  end() { return this.store.stop * this.binS; }
  longest() { return this.store.nBins * this.binS; }
  hold() { this.held ??= this.store.copy(); }
  release() { this.held = null; }

  columns(channel, from, to, n) {
    const found = (this.held ?? this.store).columns(channel, from / this.binS, to / this.binS, n);
    return { ...found, xs: found.xs.map((bin) => bin * this.binS) };
  }
}
