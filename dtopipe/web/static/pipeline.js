// Board, ring and sinks with their states; events and limits. Text of others is only ever text.

const ROWS = [["rate", "samples/s"], ["lag", "lag"], ["dropped", "dropped"], ["gaps", "gaps"], ["committed", "committed"]];
const BAD = ["gave_up", "cut_off", "interrupted", "hung"];
const BUSY = ["restarting", "away", "starting", "opening", "waiting"];

export function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  if (text !== "") made.textContent = text;
  if (className) made.className = className;
  return made;
}

const number = (value) => Number(value ?? 0).toLocaleString("en-US");

function tone(condition) {
  return BAD.includes(condition) ? "bad" : BUSY.includes(condition) ? "warning" : "good";
}

function stage(title, lines, className) {
  const made = element("div", "", `stage ${className}`);
  made.append(element("strong", title), ...lines.filter(Boolean).map((line) => element("div", line)));
  return made;
}

export function drawPipeline(facts) {
  const place = document.getElementById("pipeline");
  if (!facts.sinks) return place.replaceChildren(element("p", "What it is made of, its own machine knows.", "quiet"));
  const board = facts.board ?? {};
  const isOver = facts.phase === undefined;
  const parts = [];
  if (!isOver) {
    const boardTone = ["silent", "away", "hung"].includes(board.condition) ? "bad" : board.condition === "waiting" ? "warning" : "good";
    parts.push(stage(`Board ${board.device ?? board.type}`, [
      board.state, `${number(Math.round(board.rate_hz))} samples/s`, board.overrun_samples ? `${number(board.overrun_samples)} lost by overrun` : "",
      board.restarts ? `restarted ${board.restarts} times` : "",
    ], boardTone), element("div", "→", "arrow"));
    const headroom = facts.headroom_s;
    parts.push(stage("Ring", [headroom === null || headroom === undefined ? "nobody holds it" : `room for ${headroom.toFixed(1)} s`],
      headroom !== null && headroom < 0.5 ? "warning" : "good"), element("div", "→", "arrow"));
  }
  const scroll = element("div", "", "scroll"), table = element("table");
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", "Outputs");
  const head = element("tr");
  head.append(element("th", "output"), element("th", "state"), ...ROWS.filter(([key]) => !isOver || !["rate", "lag"].includes(key)).map(([, title]) => element("th", title, "number")));
  head.querySelectorAll("th").forEach((cell) => { cell.scope = "col"; });
  const thead = element("thead"), body = element("tbody");
  thead.append(head);
  for (const [name, sink] of Object.entries(facts.sinks)) {
    const row = element("tr"), title = element("th", `${name} (${sink.type}${sink.policy === "block" ? "" : `, ${sink.policy}`})`);
    title.scope = "row";
    const shown = sink.state.replace("_", " ");
    const state = element("td", sink.failure ? sink.failure.startsWith(shown) ? sink.failure : `${shown}: ${sink.failure}` : shown, tone(sink.condition ?? sink.state));
    row.append(title, state);
    const cells = { rate: number(Math.round(sink.rate_hz)), lag: `${Number(sink.lag_s ?? 0).toFixed(1)} s`, dropped: number(sink.dropped), gaps: number(sink.gaps), committed: number(sink.committed) };
    for (const [key] of ROWS) if (!isOver || !["rate", "lag"].includes(key)) row.append(element("td", cells[key], "number"));
    body.append(row);
  }
  table.append(thead, body);
  scroll.append(table);
  const at = place.querySelector(".scroll")?.scrollLeft ?? 0;
  const wasFocused = document.activeElement?.classList.contains("scroll");
  place.replaceChildren(...parts, scroll);
  scroll.scrollLeft = at;
  if (wasFocused) scroll.focus();
}

const SAID = ["text", "why", "message", "how"];
const UNSAID = ["t_utc", "event", "process", "pid", "log", ...SAID];

function worded(key, value) {
  const told = typeof value === "number" ? value.toLocaleString("en-US") : typeof value === "object" ? JSON.stringify(value) : value;
  return key.endsWith("_s") ? `${key.slice(0, -2).replaceAll("_", " ")} ${told} s` : `${key.replaceAll("_", " ")} ${told}`;
}

function words(event) {
  if (event.event === "mark") return `mark: ${event.mark?.label ?? ""}${event.mark?.text ? ` (${event.mark.text})` : ""}`;
  const said = SAID.map((key) => event[key]).find((each) => typeof each === "string" && each);
  const rest = Object.entries(event).filter(([key]) => !UNSAID.includes(key)).map(([key, value]) => worded(key, value)).join(", ");
  const what = `${event.process ? `${event.process}: ` : ""}${String(event.event).replaceAll("_", " ")}`;
  return `${what}${said ? `: ${said}` : ""}${rest ? (said ? ` (${rest})` : `: ${rest}`) : ""}`;
}

let drawn = "";
export function drawEvents(events) {
  const said = JSON.stringify(events);
  if (said === drawn) return;
  drawn = said;
  document.getElementById("events").replaceChildren(...[...events].reverse().map((event) => {
    const line = element("li"), time = element("time", String(event.t_utc ?? "").slice(11, 19));
    line.append(time, ` ${words(event)}`);
    return line;
  }));
}

export function drawLimits(limits) {
  const lines = [...(limits?.now ?? []).map((text) => [text, "bad-text"]), ...(limits?.over ?? []).map((text) => [text, ""])];
  document.getElementById("limits").hidden = !lines.length;
  document.getElementById("limit-lines").replaceChildren(...lines.map(([text, className]) => element("li", text, className)));
}
