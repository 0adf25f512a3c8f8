// The list of runs, filtered as it is typed. Names and metadata of others are only ever text.

import { element } from "/static/pipeline.js";

const AGAIN_MS = 5000;
const GOOD = ["GOOD", "GOOD (repaired)", "in progress"];
const $ = (id) => document.getElementById(id);
let runs = [];

function row(run) {
  const made = element("tr"), link = element("a", run.run), name = element("th");
  link.href = `/runs/${run.run.split("/").map(encodeURIComponent).join("/")}`;
  name.scope = "row";
  name.append(link);
  const metadata = Object.entries(run.metadata).map(([key, value]) => `${key}=${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
  made.append(name, element("td", String(run.started_at ?? "").slice(0, 19)),
    element("td", run.length_s === null ? "" : `${run.length_s.toFixed(1)} s`, "number"),
    element("td", run.samples.toLocaleString("en-US"), "number"),
    element("td", `${run.state}${run.text && !run.in_progress ? `: ${run.text}` : ""}`, GOOD.includes(run.state) ? "good" : "bad"),
    element("td", metadata));
  return made;
}

function fits(run) {
  const words = $("words").value.toLowerCase(), day = String(run.started_at ?? "").slice(0, 10);
  return `${run.run} ${JSON.stringify(run.metadata)}`.toLowerCase().includes(words)
    && ["", run.state].includes($("verdict").value)
    && (!$("since").value || day >= $("since").value) && (!$("until").value || day <= $("until").value);
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
    const chosen = $("verdict").value, states = [...new Set(runs.map((run) => run.state))].sort();
    $("verdict").replaceChildren(new Option("all", ""), ...states.map((state) => new Option(state, state)));
    $("verdict").value = states.includes(chosen) ? chosen : "";
    draw();
  } catch {
    $("count").textContent = "the page's server does not answer";
  } finally {
    setTimeout(look, AGAIN_MS);
  }
}

$("filters").addEventListener("input", draw);
$("filters").addEventListener("submit", (event) => event.preventDefault());
look();
