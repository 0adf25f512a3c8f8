"""What the disk of the power-cut tests may lose, and what it never loses; no FUSE is needed for that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from forgetful_disk import Disk, Mode
from forgetful_files import SECTOR_BYTES, File, Folder, live_tree, put_tree
from hypothesis import given
from hypothesis import strategies as st

MODES = list(Mode)
WEAK = [Mode.ORDERED, Mode.ADVERSARIAL]
SEEDS = range(60)


def _disk(mode: Mode, seed: int = 0) -> tuple[Disk, File]:
    """With a file `f` of some bytes that are synced, as is its name."""
    disk = Disk(mode, seed)
    file = File(0o644)
    disk.add("/f", file)
    disk.write(file, 0, b"A" * 1000)
    disk.sync_file(file)
    disk.sync_folder(disk.root)
    return disk, file


def _survivors(disk: Disk) -> dict[str, bytes | None]:
    return {path: content for path, _, content in disk.survivors()}


@pytest.mark.parametrize("mode", MODES)
def test_what_was_synced_is_there(mode: Mode) -> None:
    for seed in SEEDS:
        disk, file = _disk(mode, seed)
        disk.write(file, 1000, b"B" * 5000)
        found = _survivors(disk)["f"]
        assert found is not None
        assert found[:1000] == b"A" * 1000
        assert not found[1000:].strip(b"B\0")


def test_strict_keeps_nothing_that_was_not_synced() -> None:
    disk, file = _disk(Mode.STRICT)
    disk.write(file, 0, b"B" * 5000)
    disk.add("/folder", Folder(0o755))
    disk.add("/folder/g", File(0o644))
    disk.sync_folder(disk.find("/folder"))  # type: ignore[arg-type]
    disk.rename("/f", "/g")
    assert _survivors(disk) == {"f": b"A" * 1000}


def test_a_sync_of_a_file_says_nothing_about_its_name_but_in_ordered() -> None:
    for mode in MODES:
        seen = set()
        for seed in SEEDS:
            disk = Disk(mode, seed)
            file = File(0o644)
            disk.add("/new", file)
            disk.write(file, 0, b"A")
            disk.sync_file(file)
            seen.add("new" in _survivors(disk))
        assert seen == {Mode.STRICT: {False}, Mode.ORDERED: {True}, Mode.ADVERSARIAL: {False, True}}[mode]


@pytest.mark.parametrize("mode", MODES)
def test_a_rename_is_done_or_not_and_never_halfway(mode: Mode) -> None:
    seen = set()
    for seed in SEEDS:
        disk, _ = _disk(mode, seed)
        draft = File(0o644)
        disk.add("/draft", draft)
        disk.write(draft, 0, b"B")
        disk.sync_file(draft)
        disk.rename("/draft", "/f")
        seen.add(_survivors(disk)["f"])
    assert seen == ({b"A" * 1000} if mode is Mode.STRICT else {b"A" * 1000, b"B"})


def test_ordered_grows_a_file_from_its_beginning_on_without_holes() -> None:
    sizes = set()
    for seed in SEEDS:
        disk, file = _disk(Mode.ORDERED, seed)
        for at in range(1000, 21_000, 500):
            disk.write(file, at, b"B" * 500)
        found = _survivors(disk)["f"]
        assert found is not None
        assert found == (b"A" * 1000 + b"B" * 20_000)[: len(found)]
        sizes.add(len(found))
    assert {1000, 21_000} < sizes


def test_ordered_keeps_names_in_the_order_in_which_they_came() -> None:
    for seed in SEEDS:
        disk = Disk(Mode.ORDERED, seed)
        for folder in ("/a", "/b"):
            disk.add(folder, Folder(0o755))
        for number in range(6):
            disk.add(f"/{'ab'[number % 2]}/{number}", File(0o644))
        found = {path[-1] for path in _survivors(disk) if "/" in path}
        assert found == {str(number) for number in range(len(found))}


def test_adversarial_keeps_any_sector_of_any_time_and_any_size() -> None:
    mixed, sizes = False, set()
    for seed in SEEDS:
        disk, file = _disk(Mode.ADVERSARIAL, seed)
        for letter in b"BCD":
            disk.write(file, 0, bytes([letter]) * 8 * SECTOR_BYTES)
        found = _survivors(disk)["f"]
        assert found is not None
        sectors = [set(found[at : at + SECTOR_BYTES]) for at in range(0, len(found), SECTOR_BYTES)]
        assert all(sector - {0} <= {letter} or sector <= set(b"A\0") for sector in sectors for letter in [max(sector)])
        mixed |= len({max(sector) for sector in sectors}) > 2
        sizes.add(len(found))
    assert mixed
    assert len(sizes) > 10


@pytest.mark.parametrize("mode", WEAK)
def test_a_file_that_was_cut_back_may_be_long_again(mode: Mode) -> None:
    seen = set()
    for seed in SEEDS:
        disk, file = _disk(mode, seed)
        disk.resize(file, 10)
        seen.add(len(_survivors(disk)["f"] or b""))
    assert {10, 1000} <= seen


@given(
    st.lists(
        st.tuples(st.sampled_from(("write", "resize", "sync")), st.integers(0, 6000), st.integers(0, 3000)), max_size=30
    ),
    st.sampled_from(MODES),
    st.integers(0, 1000),
)
def test_programs_see_all_that_they_did_and_what_was_synced_last_survives_in_every_mode(
    work: list[tuple[str, int, int]], mode: Mode, seed: int
) -> None:
    disk, file = _disk(mode, seed)
    wanted = bytearray(file.live)
    for what, at, size in work:
        if what == "write":
            data = bytes([at % 250 + 1]) * size
            disk.write(file, at, data)
            wanted.extend(bytes(max(0, at + size - len(wanted))))
            wanted[at : at + size] = data
        elif what == "resize":
            disk.resize(file, at)
            del wanted[at:]
            wanted.extend(bytes(at - len(wanted)))
        else:
            disk.sync_file(file)
    assert file.live == wanted
    disk.sync_file(file)
    assert _survivors(disk)["f"] == bytes(wanted)


def test_a_tree_goes_in_and_comes_out_again(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "folder").mkdir(parents=True)
    (source / "folder" / "file").write_bytes(b"x")
    (source / "folder" / "file").chmod(0o600)
    disk = Disk(Mode.STRICT, 0)
    disk.load(source)
    put_tree(live_tree(disk.root), tmp_path / "live")
    put_tree(disk.survivors(), tmp_path / "disk")
    for place in ("live", "disk"):
        assert (tmp_path / place / "folder" / "file").read_bytes() == b"x"
        if os.name != "nt":
            assert (tmp_path / place / "folder" / "file").stat().st_mode & 0o777 == 0o600
