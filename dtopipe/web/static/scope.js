// All traces: which channels, which span; live at the newest sample, or still while somebody looks closer.

import { Chart, spelled } from "/static/chart.js";

const WINDOW_S = 10, LEAST_S = 0.02;

export class Scope {
  constructor(channels, rateHz) {
    this.rateHz = rateHz;
    this.windowS = WINDOW_S;
    this.still = null; // {from, to} in seconds once it is paused
    this.provider = null; // gives what is drawn: columns(channel, from, to, n) in seconds
    this.cursor = null;
    this.isStale = true;
    const traces = document.getElementById("traces");
    const picks = document.getElementById("channels");
    traces.replaceChildren();
    picks.replaceChildren();
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) this.charts.find((chart) => chart.element === entry.target).isSeen = entry.isIntersecting;
      this.isStale = true;
    }, { rootMargin: "200px" });
    this.charts = channels.map((channel) => new Chart(channel, (from, to) => this.zoomTo(from, to), (at) => this.#tell(at)));
    for (const chart of this.charts) {
      const label = document.createElement("label"), box = document.createElement("input");
      box.type = "checkbox";
      box.checked = true;
      box.addEventListener("change", () => { chart.element.hidden = !box.checked; chart.element.style.display = box.checked ? "" : "none"; this.isStale = true; });
      label.append(box, ` ${chart.channel.name}`);
      picks.append(label);
      traces.append(chart.element);
      seen.observe(chart.element);
    }
    new ResizeObserver(() => { this.isStale = true; }).observe(traces);
    const turn = () => {
      if (this.isStale && this.provider !== null && !document.hidden) this.#draw();
      requestAnimationFrame(turn);
    };
    requestAnimationFrame(turn);
  }

  get view() {
    if (this.still !== null) return this.still;
    if (this.provider === null) return { from: 0, to: this.windowS };
    // A young run begins at the left.
    const from = Math.max(this.provider.end() - this.windowS, this.provider.begin());
    return { from, to: from + this.windowS };
  }

  pause() {
    if (this.still !== null) return;
    this.still = this.view;
    this.provider.hold();
    this.#changed();
  }

  goOn() {
    this.still = null;
    this.windowS = Math.min(this.windowS, this.provider.longest());
    this.provider.release();
    this.#changed();
  }

  whole() {
    this.still = null;
    this.windowS = WINDOW_S;
    this.provider.release();
    this.#changed();
  }

  zoomTo(from, to) {
    const middle = (from + to) / 2, half = Math.max(LEAST_S, to - from) / 2;
    this.pause();
    this.still = { from: middle - half, to: middle + half };
    this.#changed();
  }

  zoom(factor) {
    const { from, to } = this.view;
    if (this.still === null) {
      this.windowS = Math.min(this.provider.longest(), Math.max(LEAST_S, this.windowS * factor));
      this.#changed();
      return;
    }
    const middle = (from + to) / 2, half = (to - from) / 2 * factor;
    this.zoomTo(middle - half, middle + half);
  }

  move(part) {
    this.pause();
    const { from, to } = this.view;
    this.still = { from: from + part * (to - from), to: to + part * (to - from) };
    this.#changed();
  }

  values(values) {
    values.forEach((value, number) => {
      const chart = this.charts[number];
      if (chart) chart.value.textContent = `${spelled(value)} ${value === null ? "" : chart.channel.unit}`;
    });
  }

  beside(marks, gaps) {
    for (const chart of this.charts) {
      chart.marks = marks;
      chart.gaps = gaps;
    }
    this.isStale = true;
  }

  #changed() {
    this.isStale = true;
    const pause = document.getElementById("pause");
    const isStill = this.still !== null;
    pause.setAttribute("aria-pressed", String(isStill));
    pause.firstChild.textContent = isStill ? "Go on " : "Pause ";
  }

  #draw() {
    this.isStale = false;
    const { from, to } = this.view;
    for (const [number, chart] of this.charts.entries()) {
      if (!chart.isSeen || chart.element.hidden) continue;
      const found = this.provider.columns(number, from, to, Math.max(100, chart.plotElement.clientWidth - 70));
      chart.draw(from, to, found.xs, found.lows, found.highs);
    }
    this.#tell(this.cursor);
    const digits = to - from < 1 ? 4 : 1;
    document.getElementById("span").textContent = `${from.toFixed(digits)} s to ${to.toFixed(digits)} s from sample 0`;
  }

  #tell(at) {
    this.cursor = at;
    for (const chart of this.charts) if (chart.isSeen) chart.tell(at);
  }
}
