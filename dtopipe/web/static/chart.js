// One channel as uPlot draws it: a line through the lowest and highest value of each column, gaps, marks and limits.

import uPlot from "/static/uPlot.esm.js";

const HEIGHT = 110;

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export function spelled(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "no value";
  if (value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-3)) return value.toExponential(4);
  return Number(value.toPrecision(6)).toString();
}

export class Chart {
  // `said`: called with a span in seconds when somebody has drawn one; `moved`: with seconds under the cursor, or null.
  // `spelledX`: a place on the axis in words, given how much of it is seen.
  constructor(channel, said, moved, spelledX) {
    this.channel = channel;
    this.spelledX = spelledX;
    this.marks = [];
    this.gaps = [];
    this.nulls = [];
    this.element = document.createElement("article");
    this.element.className = "trace";
    const label = document.createElement("div");
    const title = document.createElement("h3");
    title.textContent = channel.name;
    this.value = document.createElement("div");
    this.value.className = "value";
    this.value.textContent = "…";
    this.cursor = document.createElement("div");
    this.cursor.className = "cursor";
    label.append(title, this.value, this.cursor);
    const limits = [["above", channel.limit_high], ["below", channel.limit_low]].filter(([, limit]) => limit !== undefined);
    if (limits.length) {
      const line = document.createElement("div");
      line.className = "limits";
      line.textContent = `limit: ${limits.map(([side, limit]) => `${side} ${spelled(limit)}`).join(", ")} ${channel.unit}`;
      label.append(line);
    }
    this.plotElement = document.createElement("div");
    this.plotElement.className = "plot";
    this.plotElement.setAttribute("role", "img");
    this.plotElement.setAttribute("aria-label", `Trace of ${channel.name}`);
    this.element.append(label, this.plotElement);
    this.isSeen = false;
    this.said = said;
    this.moved = moved;
    this.plot = null;
    this.width = 0;
  }

  #make() {
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    this.plot = new uPlot({
      width: this.width, height: HEIGHT,
      legend: { show: false },
      cursor: { sync: { key: "dtopipe" }, drag: { x: true, y: false, setScale: false }, points: { show: false } },
      scales: { x: { time: false, auto: false }, y: { auto: true } },
      axes: [
        { ...axis, size: 24, values: (plot, ticks) => ticks.map((tick) => this.spelledX(tick, plot.scales.x.max - plot.scales.x.min)), space: 80 },
        { ...axis, size: 62, values: (_, ticks) => ticks.map(spelled) },
      ],
      series: [{}, { stroke: colour("--accent"), width: 1, points: { show: false } }],
      hooks: {
        drawClear: [(plot) => this.#shade(plot)],
        draw: [(plot) => this.#lines(plot)],
        setSelect: [(plot) => {
          if (plot.select.width > 4) {
            const at = plot.posToVal(plot.select.left, "x");
            this.said(at, plot.posToVal(plot.select.left + plot.select.width, "x"));
          }
          plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        }],
        setCursor: [(plot) => this.moved(plot.cursor.left >= 0 ? plot.posToVal(plot.cursor.left, "x") : null)],
      },
    }, [[], []], this.plotElement);
  }

  #shade(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (const [start, stop, isOurs] of this.gaps) {
      const left = plot.valToPos(start, "x", true);
      const width = Math.max(2, plot.valToPos(stop, "x", true) - left);
      ctx.fillStyle = isOurs ? "rgba(130, 130, 130, .35)" : "rgba(200, 30, 30, .35)";
      ctx.fillRect(left, bbox.top, width, bbox.height);
    }
    // Samples that are there without a value are another thing than samples that are absent.
    ctx.fillStyle = colour("--null");
    for (const [start, stop] of this.nulls) {
      const left = plot.valToPos(start, "x", true);
      ctx.fillRect(left, bbox.top + bbox.height - 6 * devicePixelRatio, Math.max(2, plot.valToPos(stop, "x", true) - left), 6 * devicePixelRatio);
    }
    ctx.restore();
  }

  #lines(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.lineWidth = 1.5 * devicePixelRatio;
    // As the axes left it, labels would end at their line.
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    ctx.font = `${11 * devicePixelRatio}px system-ui`;
    for (const mark of this.marks) {
      const x = plot.valToPos(mark.at, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = ctx.fillStyle = colour("--good");
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.fillText(mark.label, x + 4 * devicePixelRatio, bbox.top + 11 * devicePixelRatio);
    }
    ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.strokeStyle = colour("--bad");
    for (const limit of [this.channel.limit_low, this.channel.limit_high]) {
      if (limit === undefined) continue;
      const y = plot.valToPos(limit, "y", true);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
    }
    ctx.restore();
  }

  // `xs` in seconds; lowest and highest value of each, null for none.
  draw(from, to, xs, lows, highs, nulls = []) {
    this.nulls = nulls;
    const width = this.plotElement.clientWidth;
    if (width < 50) return;
    if (this.plot === null) {
      this.width = width;
      this.#make();
    } else if (width !== this.width) {
      this.width = width;
      this.plot.setSize({ width, height: HEIGHT });
    }
    const at = new Array(2 * xs.length), values = new Array(2 * xs.length);
    for (let i = 0; i < xs.length; i++) {
      at[2 * i] = at[2 * i + 1] = xs[i];
      values[2 * i] = lows[i];
      values[2 * i + 1] = highs[i];
    }
    this.drawn = { xs, lows, highs };
    this.plot.batch(() => {
      this.plot.setData([at, values], false);
      this.plot.setScale("x", { min: from, max: to });
    });
  }

  // What is seen of a run that is over, in words: for who cannot see it, and beside it.
  tellSpan(where) {
    const { lows, highs } = this.drawn ?? { lows: [], highs: [] };
    let least = Infinity, most = -Infinity;
    for (let i = 0; i < lows.length; i++) {
      if (lows[i] !== null && lows[i] < least) least = lows[i];
      if (highs[i] !== null && highs[i] > most) most = highs[i];
    }
    const isThere = least <= most, unit = this.channel.unit;
    this.value.textContent = !isThere ? "no value" : least === most ? `${spelled(least)} ${unit}` : `${spelled(least)} … ${spelled(most)} ${unit}`;
    const absent = `${this.gaps.length ? `; ${this.gaps.length} spans absent` : ""}${this.nulls.length ? "; some samples without a value" : ""}`;
    this.plotElement.setAttribute("aria-label", `Trace of ${this.channel.name}, ${where}: ${isThere ? `lowest ${spelled(least)}, highest ${spelled(most)} ${unit}` : "no value"}${absent}`);
  }

  // What is under the cursor at this moment, in words.
  tell(seconds) {
    if (seconds === null || !this.drawn || !this.drawn.xs.length) {
      this.cursor.textContent = "";
      return;
    }
    const { xs, lows, highs } = this.drawn;
    let near = 0;
    for (let i = 1; i < xs.length; i++) if (Math.abs(xs[i] - seconds) < Math.abs(xs[near] - seconds)) near = i;
    const [low, high] = [spelled(lows[near]), spelled(highs[near])];
    this.cursor.textContent = `${this.spelledX(seconds, xs.length > 1 ? xs.at(-1) - xs[0] : 1)}: ${low === high ? low : `${low} … ${high}`}`;
  }
}
