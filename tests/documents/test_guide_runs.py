"""Every command, every topology and every program of README and guide runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from guide_pages import NOT_RUN, PAGES, ROOT, Session, fences_of
from lsl_network import need_lsl
from ready_commands import Commands, StartedCommands

from dtopipe.cli.main import main
from dtopipe.model.span import Cause
from dtopipe.model.verdict_state import VerdictState


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_stands_on_the_page_runs_from_top_to_end(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ready_commands: Commands
) -> None:
    if page.stem == "plug-ins":
        need_lsl()
    # What stands on the front page begins as a reader's does: from nothing.
    session = Session(tmp_path, monkeypatch, StartedCommands() if page == PAGES[0] else ready_commands)
    try:
        for fence in fences_of(page):
            session.run(fence)
    finally:
        session.end()


def test_what_is_not_run_stands_somewhere() -> None:
    typed = {
        command for page in PAGES for fence in fences_of(page) if fence.language in ("sh", "console")
        for _, command, _ in fence.commands()
    }  # fmt: skip
    assert set(NOT_RUN) <= typed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_that_is_named_is_there_with_its_options(page: Path) -> None:
    for code in re.findall(r"`dtopipe ([^`]+)`", page.read_text(encoding="utf-8")):
        words = code.split()
        command: click.Command | None = main
        context = click.Context(main)
        while isinstance(command, click.Group) and words:
            name = words.pop(0)
            command = command.get_command(context, name)
            assert command is not None, f"`dtopipe {code}`: there is no {name}"
        assert command is not None
        options = {name for parameter in command.params for name in parameter.opts}
        for option in (word.partition("=")[0] for word in words if word.startswith("-")):
            assert option in {*options, "--help"}, f"`dtopipe {code}`: there is no {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_of_the_checkout_that_is_named_is_there(page: Path) -> None:
    named = re.findall(r"`((?:dtopipe|scripts|tests|topologies)/[\w./-]*)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_front_page_is_short_and_names_every_page() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    assert text.count("\n") <= 150
    for page in PAGES[1:]:
        assert f"(dtopipe/guide/{page.name})" in text


def table(heading: str) -> dict[str, list[str]]:
    """The rows below that heading of the page for trouble: {first cell: the other cells}."""
    text = (ROOT / "dtopipe" / "guide" / "trouble.md").read_text(encoding="utf-8")
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return {row[0].strip("`"): row[1:] for row in rows[2:]}


def test_every_verdict_stands_on_the_page_with_its_exit_code_and_what_to_type() -> None:
    told = table("Verdicts")
    assert {name: int(cells[0]) for name, cells in told.items()} == {
        state.value: state.exit_code for state in VerdictState
    }
    assert all(cells[1] and cells[2] for cells in told.values())


def test_every_cause_of_a_gap_stands_on_the_page_with_what_to_do() -> None:
    told = table("Causes of gaps")
    assert set(told) == {cause.value for cause in Cause}
    assert all(cells[0] and cells[1] for cells in told.values())


def test_the_query_of_the_front_page_is_the_one_that_the_guide_types() -> None:
    """Two balances and four channels, joined on `t_mono_ns`."""
    (query,) = [fence.text for fence in fences_of(PAGES[0]) if fence.text.startswith("SELECT")]
    page = next(page for page in PAGES if page.stem == "python")
    typed = [fence.text for fence in fences_of(page) if fence.language == "python"]
    assert any(" ".join(query.split()) in " ".join(text.split()) for text in typed)
