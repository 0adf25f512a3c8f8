"""When a disk will be full, and when a run has to end because of it."""

from __future__ import annotations

from dtopipe.core.disk import (
    DiskOutlook,
    DiskSeen,
    DiskWatch,
    OutputNeed,
    bytes_text,
    closing_bytes,
    duration_text,
    reserve_bytes,
)
from dtopipe.sinks.parquet.sink_type import PARQUET
from dtopipe.sinks.sqlite.sink_type import SQLITE
from dtopipe.sinks.text.sink_types import CSV

MB, S = 10**6, 10**9


class Disk:
    """A disk that is written to, looked at four times a second."""

    def __init__(self, free_mb: float, reserve_mb: float = 2, patience_s: float = 2.0) -> None:
        self.watch = DiskWatch(patience_s)
        self.free, self.own, self.reserve = free_mb * MB, 0.0, round(reserve_mb * MB)
        self.t_ns = 0
        self.outlooks: list[DiskOutlook] = []

    def goes_on(
        self, seconds: float, own_mb_s: float = 0, others_mb_s: float = 0, ends_in_s: float | None = None
    ) -> Disk:
        for _ in range(round(4 * seconds)):
            self.t_ns += S // 4
            self.own += own_mb_s * MB / 4
            self.free = max(0.0, self.free - (own_mb_s + others_mb_s) * MB / 4)
            self.look(ends_in_s)
        return self

    def look(self, ends_in_s: float | None = None) -> DiskOutlook:
        seen = DiskSeen(self.t_ns, round(self.free), round(self.own), self.reserve)
        self.outlooks.append(self.watch.saw(seen, ends_in_s))
        return self.outlooks[-1]

    @property
    def now(self) -> DiskOutlook:
        return self.outlooks[-1]

    @property
    def warnings(self) -> list[str]:
        return [outlook.text for outlook in self.outlooks if outlook.is_news]


def test_a_disk_that_fills_is_warned_of_ten_minutes_and_a_minute_before_once_each() -> None:
    disk = Disk(free_mb=2000).goes_on(650, own_mb_s=3)
    assert disk.warnings == ["full in about 10 min at 3 MB/s", "full in about 60 s at 3 MB/s"]
    assert not disk.outlooks[0].is_low
    assert disk.now.is_low


def test_what_others_write_counts_as_well() -> None:
    disk = Disk(free_mb=1000).goes_on(10, own_mb_s=1, others_mb_s=9)
    assert disk.warnings == ["full in about 97 s at 10 MB/s"]


def test_growth_of_our_own_files_counts_where_free_space_is_told_late() -> None:
    disk = Disk(free_mb=100)
    for _ in range(40):
        disk.t_ns += S // 4
        disk.own += 0.5 * MB
        disk.look()
    assert disk.now.text == "full in about 50 s at 2 MB/s"


def test_nothing_written_and_a_disk_that_gets_emptier_are_no_reason_to_warn() -> None:
    assert Disk(free_mb=100).goes_on(100).now.text == ""
    assert Disk(free_mb=100).goes_on(100, others_mb_s=-1).now.text == ""


def test_a_run_that_ends_before_the_disk_is_full_is_not_warned_of() -> None:
    assert Disk(free_mb=500).goes_on(60, own_mb_s=1, ends_in_s=100).warnings == []
    assert Disk(free_mb=500).goes_on(60, own_mb_s=1, ends_in_s=1000).warnings != []


def test_room_that_was_given_back_makes_the_next_warning_news_again() -> None:
    disk = Disk(free_mb=300).goes_on(20, own_mb_s=1)
    assert len(disk.warnings) == 1
    disk.free += 10_000 * MB
    disk.goes_on(60, own_mb_s=1)
    assert len(disk.warnings) == 1
    disk.free -= 9_700 * MB
    disk.goes_on(60, own_mb_s=1)
    assert len(disk.warnings) > 1


def test_a_run_ends_while_what_closing_takes_still_fits() -> None:
    disk = Disk(free_mb=20, reserve_mb=5)
    while not (disk.outlooks and disk.now.ends_run):
        disk.goes_on(0.25, own_mb_s=2)
        assert disk.free > 5 * MB, "the reserve was touched"
    assert disk.free < 8 * MB, "much too early"


def test_a_disk_that_somebody_else_fills_at_once_may_stay_so_for_a_moment() -> None:
    disk = Disk(free_mb=100).goes_on(5, own_mb_s=0.1)
    before = disk.free
    disk.free = 0
    assert not any(outlook.ends_run for outlook in disk.goes_on(1.75).outlooks)
    disk.free = before
    assert not any(outlook.ends_run for outlook in disk.goes_on(35, own_mb_s=0.1).outlooks)
    disk.free = 0
    assert disk.goes_on(2.5).now.ends_run


def test_a_disk_that_somebody_else_fills_steadily_ends_the_run_before_the_reserve_is_touched() -> None:
    disk = Disk(free_mb=200, reserve_mb=2)
    while not (disk.outlooks and disk.now.ends_run):
        disk.goes_on(0.25, own_mb_s=0.1, others_mb_s=20)
        assert disk.free > 2 * MB


def test_a_large_file_that_somebody_copies_is_no_rate() -> None:
    disk = Disk(free_mb=100).goes_on(10, own_mb_s=0.01)
    disk.free -= 60 * MB
    disk.goes_on(10, own_mb_s=0.01)
    assert disk.warnings == []
    assert not any(outlook.ends_run for outlook in disk.outlooks)


def test_a_disk_of_which_others_give_back_is_judged_by_what_we_write() -> None:
    assert Disk(free_mb=100).goes_on(10, own_mb_s=2, others_mb_s=-1).now.rate_bytes_per_s == 2 * MB


def test_a_disk_that_was_full_from_the_first_look_is_given_the_same_patience() -> None:
    disk = Disk(free_mb=1, reserve_mb=2)
    assert not disk.look().ends_run
    assert disk.goes_on(2).now.ends_run


def test_the_reserve_is_what_every_output_there_still_takes() -> None:
    csv = OutputNeed(CSV.closing, samples_to_come=1000, bytes_per_sample=100)
    assert closing_bytes(csv) == 100_000 + 2**16
    # The log goes back into the file, and takes its room twice until then.
    log = OutputNeed(SQLITE.closing, samples_to_come=1000, bytes_per_sample=50, waiting_bytes=3 * MB)
    assert closing_bytes(log) == 100_000 + 3 * MB + 2**19
    tail = OutputNeed(PARQUET.closing, samples_to_come=0, bytes_per_sample=4, waiting_bytes=MB)
    assert closing_bytes(tail) == 3 * MB + 2**18
    assert reserve_bytes([csv, log]) == 2**18 + closing_bytes(csv) + closing_bytes(log)
    assert reserve_bytes([]) == 2**18


def test_times_and_sizes_are_told_as_people_say_them() -> None:
    assert [duration_text(s) for s in (0.2, 40, 720, 12_600)] == ["0 s", "40 s", "12 min", "3.5 h"]
    assert [bytes_text(n) for n in (3, 4200, 3.14e6, 2e10)] == ["3 bytes", "4.2 kB", "3.14 MB", "20 GB"]
