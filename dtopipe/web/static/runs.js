// The list of runs, filtered as it is typed. Names and metadata of others are only ever text.

import { element } from "/static/pipeline.js";

const AGAIN_MS = 5000;
const GOOD = ["GOOD", "GOOD (repaired)", "in progress", "ended"];
const $ = (id) => document.getElementById(id);
let runs = [];
const asked = new URLSearchParams(location.search);

function row(run) {
  // What servers have of other machines has no page here.
  const made = element("tr"), link = element(run.elsewhere ? "span" : "a", run.run), name = element("th");
  if (!run.elsewhere) link.href = `/runs/${run.run.split("/").map(encodeURIComponent).join("/")}`;
  name.scope = "row";
  name.append(link);
  const metadata = Object.entries(run.metadata).map(([key, value]) => `${key}=${text(value)}`).join(", ");
  made.append(name, element("td", String(run.started_at ?? "").slice(0, 19)),
    element("td", run.length_s === null ? "" : `${run.length_s.toFixed(1)} s`, "number"),
    element("td", run.samples.toLocaleString("en-US"), "number"),
    element("td", `${run.state}${run.text && !run.in_progress ? `: ${run.text}` : ""}`, GOOD.includes(run.state) ? "good" : "bad"),
    element("td", metadata));
  return made;
}

// As `dtopipe runs --where` takes it: sample=A7 is that value of that key; any other word is looked for everywhere.
function fitsWord(run, word) {
  const at = word.indexOf("="), key = word.slice(0, Math.max(0, at));
  if (at > 0 && Object.hasOwn(run.metadata, key)) return text(run.metadata[key]).toLowerCase() === word.slice(at + 1).toLowerCase();
  const everything = [run.run, ...Object.entries(run.metadata).map(([name, value]) => `${name}=${text(value)}`)].join(" ");
  return at > 0 ? false : everything.toLowerCase().includes(word.toLowerCase());
}

const text = (value) => typeof value === "object" ? JSON.stringify(value) : String(value);
// Words stand between spaces; a value with spaces stands in quotes.
const wordsIn = (typed) => (typed.match(/(?:[^\s"]|"[^"]*"?)+/g) ?? []).map((word) => word.replaceAll('"', ""));

function fits(run) {
  const day = String(run.started_at ?? "").slice(0, 10);
  return wordsIn($("words").value).every((word) => fitsWord(run, word))
    && ["", run.state].includes($("verdict").value)
    && (!$("since").value || day >= $("since").value) && (!$("until").value || day <= $("until").value);
}

const FILTERS = ["words", "verdict", "since", "until"];

// The address says what is shown, for who comes back from a run, and for a bookmark.
function remember() {
  const chosen = FILTERS.filter((id) => $(id).value).map((id) => [id, $(id).value]);
  history.replaceState(null, "", chosen.length ? `?${new URLSearchParams(chosen)}` : location.pathname);
}

function draw() {
  const wanted = runs.filter(fits);
  $("count").textContent = `${wanted.length} of ${runs.length}`;
  const at = document.activeElement?.getAttribute?.("href");
  $("runs").replaceChildren(...wanted.map(row));
  if (at) $("runs").querySelector(`a[href="${CSS.escape(at)}"]`)?.focus();
}

async function look() {
  try {
    const told = await (await fetch("/api/runs")).json();
    if (JSON.stringify(told.runs) === JSON.stringify(runs)) return;
    runs = told.runs;
    const chosen = $("verdict").value || asked.get("verdict") || "", states = [...new Set(runs.map((run) => run.state))].sort();
    $("verdict").replaceChildren(new Option("all", ""), ...states.map((state) => new Option(state, state)));
    $("verdict").value = states.includes(chosen) ? chosen : "";
    asked.delete("verdict");
    draw();
  } catch {
    $("count").textContent = "the page's server does not answer";
  } finally {
    setTimeout(look, AGAIN_MS);
  }
}

for (const id of ["words", "since", "until"]) $(id).value = asked.get(id) ?? "";
$("filters").addEventListener("input", () => { remember(); draw(); });
$("filters").addEventListener("submit", (event) => event.preventDefault());
look();
