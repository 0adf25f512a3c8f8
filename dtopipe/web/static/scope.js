// All traces: which channels, which span; live at the newest sample, or still while somebody looks closer.

import { Chart, spelled } from "/static/chart.js";
import { timeText } from "/static/time.js";

const WINDOW_S = 10, LEAST_S = 0.02;

export class Scope {
  // `provider`: gives what is drawn: columns(channel, from, to, n) in seconds; `viewed(from, to, numbers)` hears what is seen.
  constructor(channels, provider, viewed) {
    this.viewed = viewed;
    this.windowS = WINDOW_S;
    this.still = null; // {from, to} in seconds once it is paused
    this.provider = provider;
    this.isClosed = false;
    this.cursor = null;
    this.isStanding = false;
    this.isStale = true;
    const traces = document.getElementById("traces");
    const picks = document.getElementById("channels");
    traces.replaceChildren();
    picks.replaceChildren();
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) this.charts.find((chart) => chart.element === entry.target).isSeen = entry.isIntersecting;
      this.isStale = true;
    }, { rootMargin: "200px" });
    this.charts = channels.map((channel) => new Chart(channel, (from, to) => this.zoomTo(from, to), (at) => this.#tell(at), (at, span) => this.#place(at, span)));
    for (const chart of this.charts) {
      const label = document.createElement("label"), box = document.createElement("input");
      box.type = "checkbox";
      box.checked = true;
      box.addEventListener("change", () => { chart.element.hidden = !box.checked; chart.element.style.display = box.checked ? "" : "none"; this.#changed(); });
      label.append(box, ` ${chart.channel.name}`);
      picks.append(label);
      traces.append(chart.element);
      seen.observe(chart.element);
    }
    new ResizeObserver(() => { this.isStale = true; }).observe(traces);
    const turn = () => {
      if (this.isClosed) return;
      if (this.isStale && this.provider !== null && !document.hidden) this.#draw();
      requestAnimationFrame(turn);
    };
    requestAnimationFrame(turn);
    this.#changed();
  }

  close() {
    this.isClosed = true;
  }

  // True while nothing new comes though the run goes on: what is seen must not look like now.
  set stands(stands) {
    if (stands === this.isStanding) return;
    this.isStanding = stands;
    this.isStale = true;
    document.getElementById("traces").classList.toggle("stands", stands);
  }

  // Of the channels that were picked.
  get picked() {
    return this.charts.flatMap((chart, number) => chart.element.hidden ? [] : [number]);
  }

  get view() {
    if (this.still !== null) return this.still;
    if (this.provider.isPast) return { from: this.provider.begin(), to: this.provider.end() };
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
    const middle = (from + to) / 2, half = Math.max(Math.min(LEAST_S, this.provider.least?.() ?? LEAST_S), to - from) / 2;
    this.pause();
    this.still = this.#within(middle - half, middle + half);
    this.#changed();
  }

  zoom(factor) {
    const { from, to } = this.view;
    if (this.still === null && !this.provider.isPast) {
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
    this.still = this.#within(from + part * (to - from), to + part * (to - from));
    this.#changed();
  }

  // Of a run that is over there is nothing beside it.
  #within(from, to) {
    if (!this.provider.isPast) return { from, to };
    const length = Math.min(to - from, this.provider.longest());
    const start = Math.min(Math.max(from, this.provider.begin()), this.provider.end() - length);
    return { from: start, to: start + length };
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
    pause.hidden = Boolean(this.provider.isPast);
    const { from, to } = this.view;
    this.viewed(from, to, this.picked);
  }

  #draw() {
    this.isStale = false;
    const { from, to } = this.view, isPast = this.provider.isPast;
    const seen = [...this.charts.entries()].filter(([, chart]) => chart.isSeen && !chart.element.hidden);
    const n = (chart) => Math.max(100, chart.plotElement.clientWidth - 70);
    if (isPast && seen.length) this.provider.want(seen.map(([number]) => number), from, to, n(seen[0][1]));
    const where = `${this.#place(from, to - from)} to ${this.#place(to, to - from)} from sample 0`;
    for (const [number, chart] of seen) {
      const found = this.provider.columns(number, from, to, n(chart));
      if (isPast) chart.gaps = this.provider.gaps();
      chart.draw(from, to, found.xs, found.lows, found.highs, found.nulls);
      if (isPast) chart.tellSpan(where);
    }
    this.#tell(this.cursor);
    const digits = to - from < 1 ? 4 : 1;
    const trouble = this.provider.trouble ? ` (${this.provider.trouble})` : "";
    document.getElementById("span").textContent = isPast ? `${where}${trouble}` : `${from.toFixed(digits)} s to ${to.toFixed(digits)} s from sample 0${this.isStanding ? "; nothing newer has come" : ""}`;
  }

  #place(at, span) {
    if (!this.provider.isPast) return `${Number(at.toFixed(6))} s`;
    return this.provider.unit ? timeText(at, span) : `reading ${Math.round(at).toLocaleString("en-US")}`;
  }

  #tell(at) {
    this.cursor = at;
    for (const chart of this.charts) if (chart.isSeen) chart.tell(at);
  }
}
