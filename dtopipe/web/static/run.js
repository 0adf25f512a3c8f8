// The page of one run: what comes over the WebSocket is drawn, what is typed is asked for.

import { drawEvents, drawLimits, drawPipeline } from "/static/pipeline.js";
import { LiveProvider } from "/static/live.js";
import { Scope } from "/static/scope.js";

const $ = (id) => document.getElementById(id);
const api = `/api${location.pathname}`;
const AGAIN_MS = 1000;

let scope = null, live = null, description = null, state = null, markOpened = 0;

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
  if (scope === null) {
    scope = new Scope(message.channels, message.rate_hz);
    scope.provider = live;
  }
  scope.provider = live;
  if (state) told(state);
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
  const elapsed = facts.elapsed_s ? `${facts.elapsed_s.toFixed(0)} s${facts.duration_s ? ` of ${facts.duration_s} s` : ""}` : "";
  $("facts").textContent = [elapsed, facts.simulated ? "SIMULATED BOARD" : "", facts.insecure ? "INSECURE LINK" : "", message.folder].filter(Boolean).join("  ·  ");
  $("mark").disabled = message.is_over || !message.folder || facts.phase !== "running";
  // Of a run that was over before the page was opened nothing was drawn.
  $("scope").hidden = message.is_over && description === null;
  drawPipeline(facts);
  drawEvents(message.events);
  drawLimits(facts.limits);
  if (description && scope) {
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
