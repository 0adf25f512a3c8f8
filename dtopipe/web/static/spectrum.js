// The spectrum of one channel: of the span in view, or of the newest samples. The server makes it, with a Hann window.

import uPlot from "/static/uPlot.esm.js";
import { colour, spelled } from "/static/chart.js";

const HEIGHT = 220, AGAIN_MS = 1000, REST_MS = 250;
const $ = (id) => document.getElementById(id);

export class Spectrum {
  // `address(channel)`: what to ask for the spectrum of the channel of that number; `isLive`: it is another one all the time.
  constructor(channels, address, isLive) {
    this.address = address;
    this.isLive = isLive;
    this.channels = channels;
    this.plot = null;
    this.asked = "";
    this.timer = 0;
    const kept = $("spectrum-channel").selectedOptions[0]?.textContent;
    $("spectrum-channel").replaceChildren(...channels.map((channel, number) => new Option(channel.name, number, false, channel.name === kept)));
    $("spectrum-channel").onchange = $("spectrum").ontoggle = () => this.look();
    $("spectrum-log").onchange = () => { this.#forget(); this.#draw(); };
    this.#forget();
    this.told = null;
    this.resized = new ResizeObserver(() => { if (this.plot !== null) this.#draw(); });
    this.resized.observe($("spectrum"));
    this.look();
  }

  close() {
    clearTimeout(this.timer);
    this.resized.disconnect();
    this.isClosed = true;
  }

  // The view has changed, or time has passed.
  look() {
    clearTimeout(this.timer);
    if (!$("spectrum").open || this.isClosed || !this.channels.length) return;
    this.timer = setTimeout(() => this.#ask(), this.isLive ? 0 : REST_MS);
  }

  async #ask() {
    const address = this.address($("spectrum-channel").value);
    if (address === null || (address === this.asked && !this.isLive)) return;
    this.asked = address;
    try {
      const response = await fetch(address);
      const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
      const told = isJson ? await response.json() : { error: (await response.text()).slice(0, 200) };
      if (address !== this.asked || this.isClosed) return;
      this.told = told.amplitude ? told : null;
      this.#say(this.told ? this.#words(told) : `No spectrum: ${told.error}${told.remedy ? `; ${told.remedy}` : ""}.`);
      this.#draw();
    } catch (error) {
      this.asked = "";
      this.#say(`No spectrum: ${error.message}.`);
    }
    if (this.isLive && !this.isClosed) this.timer = setTimeout(() => this.#ask(), AGAIN_MS);
  }

  #words(told) {
    const peaks = told.peaks.map((peak) => `${spelled(peak.amplitude)} ${told.unit} at ${spelled(peak.hz)} Hz`);
    return `${told.samples.toLocaleString("en-US")} samples, a line each ${spelled(told.resolution_hz)} Hz. Largest: ${peaks.join("; ") || "none"}. Mean ${spelled(told.amplitude[0])} ${told.unit} (without its sign).`;
  }

  #say(text) {
    if ($("spectrum-text").textContent !== text) $("spectrum-text").textContent = text;
  }

  #forget() {
    this.plot?.destroy();
    this.plot = null;
    $("spectrum-plot").replaceChildren();
  }

  #draw() {
    const told = this.told, place = $("spectrum-plot"), isLog = $("spectrum-log").checked;
    place.hidden = told === null;
    if (told === null || place.clientWidth < 50) return;
    // The mean is another thing than what is periodic; a logarithm has no zero.
    const hz = told.hz.slice(1), amplitude = told.amplitude.slice(1).map((value) => isLog && value <= 0 ? null : value);
    const name = this.channels[Number($("spectrum-channel").value)].name;
    place.setAttribute("aria-label", `Amplitude spectrum of ${name}, 0 to ${spelled(hz.at(-1) ?? 0)} Hz. ${this.#words(told)}`);
    if (this.plot === null) {
      const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
      this.plot = new uPlot({
        width: place.clientWidth, height: HEIGHT, legend: { show: false },
        cursor: { drag: { x: true, y: false } },
        scales: { x: { time: false }, y: isLog ? { distr: 3 } : { range: (_, low, high) => [0, high || 1] } },
        axes: [
          { ...axis, size: 24, values: (_, ticks) => ticks.map((tick) => `${spelled(tick)} Hz`), space: 80 },
          { ...axis, size: 72, values: (_, ticks) => ticks.map((tick) => tick === null ? "" : spelled(tick)) },
        ],
        series: [{}, { stroke: colour("--accent"), width: 1, points: { show: false } }],
        hooks: { setCursor: [(plot) => this.#tell(plot)] },
      }, [hz, amplitude], place);
    } else {
      if (this.plot.width !== place.clientWidth) this.plot.setSize({ width: place.clientWidth, height: HEIGHT });
      this.plot.setData([hz, amplitude]);
    }
  }

  #tell(plot) {
    const at = plot.cursor.idx;
    $("spectrum-cursor").textContent = at === null || at === undefined ? "" : `${spelled(plot.data[0][at])} Hz: ${spelled(plot.data[1][at])} ${this.told?.unit ?? ""}`;
  }
}
