// What a scope draws of a run that is over: columns of the span in view, asked for when the view has changed.

const AGAIN_MS = 500, REST_MS = 40, MOST_COLUMNS = 2000;

// Its description, again and again until its overview is there; `said(told)` hears each.
export async function described(api, output, said) {
  for (;;) {
    const response = await fetch(`${api}/past?output=${encodeURIComponent(output)}`);
    const told = response.headers.get("Content-Type")?.startsWith("application/json") ? await response.json() : { error: await response.text() };
    if (!said(told) || !response.ok || told.is_ready) return response.ok && told.is_ready ? told : null;
    await new Promise((done) => setTimeout(done, AGAIN_MS));
  }
}

// One answer, as dtopipe/web/frames.py writes it.
export function columnsFrom(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const at = 4 + length, n = head.n * head.channels;
  return { ...head, lows: new Float64Array(buffer, at, n), highs: new Float64Array(buffer, at + 8 * n, n), nulls: new Uint8Array(buffer, at + 16 * n, n) };
}

export class PastProvider {
  // `changed`: something new is to be drawn; `absent`: the run is another one by now, and to be described anew.
  constructor(api, description, changed, absent) {
    this.isPast = true;
    this.description = description;
    // Readings have no rate: they are counted.
    this.rateHz = description.polled ? 1 : description.rate_hz;
    this.unit = description.polled ? "" : "s";
    this.api = api;
    this.changed = changed;
    this.absent = absent;
    this.asked = "";
    this.found = null;
    this.abort = null;
  }

  begin() { return this.description.start / this.rateHz; }
  end() { return Math.max(this.description.stop, this.description.start + 1) / this.rateHz; }
  longest() { return this.end() - this.begin(); }
  least() { return 8 * this.description.every / this.rateHz; }
  hold() {}
  release() {}

  span(from, to) {
    const start = Math.max(this.description.start, Math.floor(from * this.rateHz));
    return [start, Math.max(start + 1, Math.min(this.description.stop, Math.ceil(to * this.rateHz)))];
  }

  query(from, to, numbers) {
    const [start, stop] = this.span(from, to);
    return `output=${encodeURIComponent(this.description.output)}&from=${start}&to=${stop}&channels=${numbers.join(",")}`;
  }

  // The scope is about to draw these channels of this span.
  want(numbers, from, to, n) {
    if (!numbers.length) return;
    const query = `${this.query(from, to, numbers)}&columns=${Math.min(MOST_COLUMNS, Math.max(1, n))}`;
    if (query === this.asked) return;
    this.asked = query;
    this.abort?.abort();
    this.abort = new AbortController();
    this.#ask(query, numbers, this.abort.signal);
  }

  async #ask(query, numbers, signal) {
    try {
      // Who turns a wheel or holds a key is asked for where that ends.
      await new Promise((done) => setTimeout(done, REST_MS));
      for (const exact of [0, 1]) {
        if (signal.aborted) return;
        const response = await fetch(`${this.api}/past/columns?${query}&exact=${exact}`, { signal });
        if (response.status === 409) return this.absent();
        if (!response.ok) throw new Error((await response.text()).slice(0, 500));
        this.found = { numbers, ...columnsFrom(await response.arrayBuffer()) };
        this.trouble = "";
        this.changed();
        if (this.found.exact) return;
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      this.asked = "";
      this.trouble = error.message;
      this.changed();
    }
  }

  columns(channel) {
    const found = this.found, row = found === null ? -1 : found.numbers.indexOf(channel);
    if (row < 0) return { xs: [], lows: [], highs: [], nulls: [] };
    const xs = new Array(found.n), lows = new Array(found.n), highs = new Array(found.n), nulls = [];
    const half = found.step === this.description.every ? 0 : found.step / 2;
    for (let i = 0; i < found.n; i++) {
      const at = row * found.n + i;
      xs[i] = (found.first + i * found.step + half) / this.rateHz;
      lows[i] = Number.isNaN(found.lows[at]) ? null : found.lows[at];
      highs[i] = Number.isNaN(found.highs[at]) ? null : found.highs[at];
      if (found.nulls[at]) nulls.push([(found.first + i * found.step) / this.rateHz, (found.first + (i + 1) * found.step) / this.rateHz]);
    }
    return { xs, lows, highs, nulls };
  }

  gaps() { return (this.found?.gaps ?? []).map(([start, stop, isQuiet]) => [start / this.rateHz, stop / this.rateHz, isQuiet]); }
}
