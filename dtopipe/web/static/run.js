// The page of one run: what comes over the WebSocket is drawn, what is typed is asked for.

import { drawEvents, drawLimits, drawPipeline } from "/static/pipeline.js";
import { LiveProvider } from "/static/live.js";
import { PastProvider, described as pastDescribed } from "/static/past.js";
import { Scope } from "/static/scope.js";
import { Spectrum } from "/static/spectrum.js";

const $ = (id) => document.getElementById(id);
const api = `/api${location.pathname}`;
const AGAIN_MS = 1000;

let scope = null, live = null, description = null, state = null, markOpened = 0, spectrum = null, past = null;

function light(tone, word, sentence) {
  $("verdict").className = `light ${tone}`;
  // Said only when it is another: a screen reader reads what changes.
  if ($("light").textContent !== word) $("light").textContent = word;
  if ($("sentence").textContent !== sentence) $("sentence").textContent = sentence;
  document.title = `${word} ${$("name").textContent}`;
}

function answer(id, said) {
  $(id).className = said.tone;
  $(id).querySelector(".word").textContent = said.word;
  $(id).querySelector(".text").textContent = said.text;
}

function heard(text) {
  const message = JSON.parse(text);
  if (message.type === "description") described(message);
  else if (message.type === "values") scope?.values(message.values);
  else if (message.type === "state") told(message);
}

function described(message) {
  if (description !== null && JSON.stringify(message) === JSON.stringify(description)) return;
  description = message;
  live = new LiveProvider(message, () => { if (scope && scope.still === null) scope.isStale = true; });
  if (past !== null) return;
  if (scope === null) {
    scope = new Scope(message.channels, live, () => {});
    spectrum = new Spectrum(message.channels, (channel) => `${api}/spectrum?channel=${channel}`, true);
  }
  scope.provider = live;
  if (state) told(state);
}

// The run is over: its outputs have all of it.
async function showPast(output) {
  const mine = past = { output };
  const isMine = () => past === mine;
  $("scope").hidden = false;
  try {
    const told = await pastDescribed(api, output, (heard) => {
      if (isMine()) pastHeard(heard);
      return isMine();
    });
    if (told !== null && isMine()) drawPast(told);
  } catch (error) {
    if (isMine()) $("past-said").textContent = `The run's samples cannot be shown: ${error.message}`;
  }
}

function pastHeard(told) {
  const isMaking = !told.error && !told.trouble && !told.is_ready;
  $("making").hidden = !isMaking;
  $("making").value = told.part ?? 0;
  const percent = `${Math.floor(100 * (told.part ?? 0))} %`;
  $("past-said").textContent = told.error ?? (told.trouble || (isMaking ? `An overview of ${told.output} is being made, once: ${percent}` : ""));
  $("past-said").hidden = !$("past-said").textContent;
  if (!told.outputs) return;
  $("output-pick").hidden = told.outputs.length < 2;
  $("output").replaceChildren(...told.outputs.map((name) => new Option(name, name, false, name === told.output)));
}

function drawPast(told) {
  scope?.close();
  spectrum?.close();
  const provider = new PastProvider(api, told, () => { scope.isStale = true; }, () => showPast(told.output));
  const viewed = (from, to, numbers) => {
    const [start, stop] = provider.span(from, to), rows = Math.ceil((stop - start) / told.every);
    $("save").hidden = !numbers.length;
    $("save-size").textContent = `up to ${rows.toLocaleString("en-US")} rows of ${numbers.length} ${numbers.length === 1 ? "channel" : "channels"}`;
    for (const kind of ["csv", "parquet"]) $(`save-${kind}`).href = `${api}/past/download?format=${kind}&${provider.query(from, to, numbers)}`;
    spectrum?.look();
  };
  spectrum = null;
  scope = new Scope(told.channels, provider, viewed);
  for (const id of ["view", "pick", "legend", "spectrum"]) $(id).hidden = false;
  scope.beside(told.marks.map((mark) => ({ at: mark.at / provider.rateHz, label: mark.label })), []);
  $("legend").textContent = "Drag over a trace to zoom. Red bands: samples that are absent; grey ones: not written, for the output waited for an event. Amber at the foot: samples without a value. Green lines: marks. Dashed lines: limits.";
  const ask = (channel) => { const { from, to } = scope.view; return `${api}/past/spectrum?${provider.query(from, to, [channel])}`; };
  spectrum = new Spectrum(told.channels, ask, false);
}

function told(message) {
  state = message;
  $("name").textContent = message.name || decodeURIComponent(location.pathname.split("/")[2]);
  const judgement = message.judgement;
  if (judgement) {
    const trouble = message.trouble ? ` (${message.trouble})` : "";
    light(judgement.light.tone, judgement.light.word, judgement.light.text + trouble);
    for (const id of ["recording", "lost", "slow"]) answer(id, judgement[id]);
  } else if (message.trouble) {
    light("bad", "UNKNOWN", message.trouble);
    // What was seen before says nothing of it now.
    for (const id of ["recording", "lost", "slow"]) answer(id, { tone: "warning", word: "not known", text: "" });
  }
  const facts = message.status ?? {};
  // By the board's clock, as a duration is meant.
  const rateHz = facts.board?.rate_nominal_hz, taken = rateHz ? facts.board.end_sample_index / rateHz : 0;
  const elapsed = rateHz ? `${taken.toFixed(0)} s${facts.duration_s ? ` of ${facts.duration_s} s` : ""}` : "";
  $("facts").textContent = [elapsed, facts.simulated ? "SIMULATED BOARD" : "", facts.insecure ? "INSECURE LINK" : "", message.folder].filter(Boolean).join("  ·  ");
  $("mark").disabled = message.is_over || !message.folder || facts.phase !== "running";
  if (message.is_over && past === null && message.folder) showPast("");
  $("scope").hidden = description === null && past === null;
  for (const id of ["view", "pick", "legend", "spectrum"]) $(id).hidden = scope === null;
  if (scope) scope.stands = !message.is_over && judgement?.recording.tone !== "good" && judgement?.recording.tone !== "warning";
  drawPipeline(facts);
  drawEvents(message.events);
  drawLimits(facts.limits);
  if (description && scope && !scope.provider.isPast) {
    const rate = description.rate_hz;
    const gaps = message.gaps.map((gap) => [gap.start / rate, gap.stop / rate, false]);
    gaps.push(...message.passed_over.map(([start, stop]) => [start / rate, stop / rate, true]));
    scope.beside(message.marks.map((mark) => ({ at: mark.sample_index / rate, label: mark.label })), gaps);
  }
}

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${api}/live`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = (event) => {
    if (typeof event.data === "string") heard(event.data);
    else live?.add(event.data);
  };
  socket.onclose = () => {
    if (state?.is_over) {
      // The server goes once the run is over and nobody looks: what was said last stays true.
      $("said").textContent = "The page's server has ended; the verdict stands.";
      return;
    }
    light("bad", "NO CONNECTION", "The page hears nothing any more; whether the run goes on, it cannot tell. Trying again …");
    setTimeout(connect, AGAIN_MS);
  };
}

function openMark() {
  if ($("mark").disabled || $("mark-dialog").open) return;
  markOpened = performance.now();
  $("mark-error").textContent = "";
  $("mark-dialog").showModal();
  $("mark-label").select();
}

async function setMark(event) {
  event.preventDefault();
  const body = { label: $("mark-label").value, text: $("mark-text").value, ago_s: (performance.now() - markOpened) / 1000 };
  try {
    const response = await fetch(`${api}/mark`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    const told = response.headers.get("Content-Type")?.startsWith("application/json") ? await response.json() : { error: await response.text() };
    if (!response.ok) throw new Error(told.error);
    $("mark-dialog").close();
    $("mark-text").value = "";
    say(`Marked: ${told.label}, sample ${told.sample_index.toLocaleString("en-US")}`);
  } catch (error) {
    $("mark-error").textContent = `It could not be marked: ${error.message}`;
  }
}

function say(text) {
  $("said").textContent = text;
  setTimeout(() => { if ($("said").textContent === text) $("said").textContent = ""; }, 4000);
}

const toggle = () => scope && (scope.still === null ? scope.pause() : scope.goOn());
const ACTIONS = { pause: toggle, in: () => scope?.zoom(0.5), out: () => scope?.zoom(2), left: () => scope?.move(-0.5), right: () => scope?.move(0.5), reset: () => scope?.whole(), mark: openMark };
const KEYS = { " ": "pause", "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", 0: "reset", m: "mark" };
for (const [id, action] of Object.entries(ACTIONS)) $(id).addEventListener("click", action);
$("output").addEventListener("change", () => showPast($("output").value));
$("mark-form").addEventListener("submit", setMark);
$("mark-cancel").addEventListener("click", () => $("mark-dialog").close());
document.addEventListener("keydown", (event) => {
  const at = event.target;
  const isTyping = at.matches("input:not([type=checkbox]), select, textarea") || $("mark-dialog").open;
  // Space and arrows belong to what has the focus.
  const isUsed = at !== document.body && (event.key === " " || event.key.startsWith("Arrow"));
  if (isTyping || isUsed || event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
  event.preventDefault();
  ACTIONS[KEYS[event.key]]();
});
connect();
