"""The page itself: what matters first, then what explains it, then everything else that is known."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

from dtopipe.core.ending import ending_from
from dtopipe.core.verdict import VerdictState
from dtopipe.report.course import course
from dtopipe.report.findings import Findings
from dtopipe.report.markup import Markup, escaped, joined, lines, tag
from dtopipe.report.parts_of_data import channels, clocks, limits, marks, outputs, values
from dtopipe.report.parts_of_run import calibration, events, gaps, metadata, processes, topology, versions

# What a page of ours begins with, by which one is told from a file of somebody's own.
BEGINNING = "<!DOCTYPE html>\n<!-- dtopipe report -->\n"
# Nothing is fetched and no script runs, whatever a record may have brought in.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLES = {
    VerdictState.GOOD.value: "good",
    VerdictState.REPAIRED.value: "good",
    VerdictState.INCOMPLETE.value: "some",
    VerdictState.DEGRADED.value: "some",
    "IN PROGRESS": "going",
}
# Heading, and what stands below it; a part without anything is left out.
_PARTS: tuple[tuple[str, Callable[[Findings], Markup]], ...] = (
    ("Values", values),
    ("Marks", marks),
    ("Limits", limits),
    ("Outputs, and how to open them", outputs),
    ("Gaps", gaps),
    ("Processes", processes),
    ("Rates and lag over time", course),
    ("Clocks", clocks),
    ("Channels", channels),
    ("Calibration", calibration),
    ("Metadata", metadata),
    ("Events", events),
    ("Topology", topology),
    ("Versions", versions),
)


def page_of(found: Findings) -> str:
    """One HTML file that needs nothing else."""
    parts = [(f"part-{number}", heading, content(found)) for number, (heading, content) in enumerate(_PARTS)]
    parts = [part for part in parts if part[2]]
    title = f"{found.asked.run}: {found.verdict_word}"
    style = (files("dtopipe.report") / "style.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("title", title),
        tag("style", Markup(style)),
    )
    links = [tag("li", tag("a", heading, href=f"#{name}")) for name, heading, _ in parts]
    body = tag(
        "body",
        tag("header", tag("h1", found.asked.run), *_banners(found), _verdict(found), _summary(found)),
        tag("nav", tag("ul", *links), aria_label="Parts of this report"),
        tag("main", *(tag("section", tag("h2", heading, id=name), content) for name, heading, content in parts)),
        tag("footer", tag("p", f"Made {found.made_at} by dtopipe report, out of {found.folder}.")),
    )
    return f"{BEGINNING}{tag('html', head, body, lang='en')}\n"


def _banners(found: Findings) -> list[Markup]:
    words = []
    if found.record.get("simulated"):
        words.append("SIMULATED BOARD: these are no measurements")
    if found.record.get("insecure"):
        words.append("INSECURE LINK: anybody on the network could read and change what was sent")
    return [tag("p", each, class_="banner") for each in words]


def _verdict(found: Findings) -> Markup:
    first = found.record.get("first_verdict")
    content = [tag("p", tag("strong", found.verdict_word), " ", lines(found.verdict_text))]
    if first:
        content.append(tag("p", f"At first it was {first['state']}: {first['text']}"))
    content.append(tag("h2", "What to do next"))
    content += [tag("p", lines(text)) for text in found.asked.what_to_do]
    content += [tag("p", f"Not on this page: {trouble}") for trouble in found.troubles]
    return tag("div", *content, class_=f"verdict {_STYLES.get(found.verdict_word, 'bad')}")


def _summary(found: Findings) -> Markup:
    record, acquired = found.record, found.record["acquired"]
    ending = ending_from(record.get("ended_by"))
    length = int(acquired["end_sample_index"]) - int(acquired.get("first_sample_index", 0))
    rows: list[tuple[str, Any]] = [
        ("began", record.get("started_at")),
        ("ended", record.get("finished_at") or "not yet"),
        ("ended by", "" if ending is None else ending.text),
        ("samples a channel", f"{acquired['samples']:,}"),
        ("lost by the board", f"{acquired['overrun_samples']:,} samples a channel"),
    ]
    if found.rate_hz:
        of_readings = " readings a second, asked for" if found.polled else " samples a second and channel"
        rows.append(("rate", f"{found.rate_hz:g}{of_readings}"))
        if not found.polled:
            rows.append(("length", f"{length / found.rate_hz:,.6g} s of the board's clock"))
    rows.append(("folder", found.folder))
    body = [tag("tr", tag("th", name, scope="row"), tag("td", escaped(value))) for name, value in rows if value]
    shown = tag("table", tag("caption", "The run"), tag("tbody", joined(body)))
    return tag("div", shown, class_="wide", tabindex="0", role="region", aria_label="The run")
