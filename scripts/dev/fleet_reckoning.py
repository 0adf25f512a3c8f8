"""What 1, 10 and 1000 boards need of NATS servers: the arithmetic of dtopipe/FLEET.md, and its table.

python scripts/dev/fleet_reckoning.py                        # the table of FLEET.md
python scripts/dev/fleet_reckoning.py --boards 40 --rate 800000 --days 30
python scripts/dev/fleet_reckoning.py --check                # 1 where FLEET.md says something else
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "dtopipe" / "FLEET.md"
BEGIN, END = "<!-- reckoned -->", "<!-- end of what is reckoned -->"
# A message has at most this much of samples, and leaves after so long; its headers and the server's own record of it.
MESSAGE_BYTES, FLUSH_S, OVERHEAD_BYTES = 2**18, 0.5, 700
# 1 Gb/s, of which two thirds are used in each direction; a disk that syncs as it writes.
NETWORK_MB_S, DISK_MB_S = 125 * 2 / 3, 200.0
# One stream has one leader, through which all of it goes.
STREAM_MB_S = 25.0


@dataclass(frozen=True)
class Fleet:
    """Boards of `rate` samples a second each, all channels together, of `item_bytes`; kept `replicas` times for `days`.

    `network_mb_s`: what a node takes, and sends. `readers`: who follow each board, such as an archive and a database.
    """

    boards: int
    rate: float = 100_000.0
    item_bytes: int = 2
    replicas: int = 3
    readers: int = 2
    days: float = 7.0
    network_mb_s: float = NETWORK_MB_S


@dataclass(frozen=True)
class Need:
    """MB are 10^6 bytes, TB 10^12."""

    mb_s_a_board: float
    messages_s: float
    in_mb_s: float
    streams: int
    nodes: int
    disk_mb_s_a_node: float
    in_mb_s_a_node: float
    out_mb_s_a_node: float
    tb_a_node: float
    journal_gb_an_hour: float


def reckoned(fleet: Fleet) -> Need:
    """What that fleet needs, leaders being spread evenly over the nodes."""
    samples_mb_s = fleet.rate * fleet.item_bytes / 1e6
    a_second = max(1 / FLUSH_S, samples_mb_s * 1e6 / MESSAGE_BYTES)
    board_mb_s = samples_mb_s + a_second * OVERHEAD_BYTES / 1e6
    total = fleet.boards * board_mb_s
    written = total * fleet.replicas
    # Each sample comes in once at a leader, and once at every other node that keeps it; leaders send those copies.
    sent = total * (fleet.replicas - 1 + fleet.readers)
    nodes = max(
        fleet.replicas,
        math.ceil(written / DISK_MB_S),
        math.ceil(written / fleet.network_mb_s),
        math.ceil(sent / fleet.network_mb_s),
    )
    return Need(
        mb_s_a_board=board_mb_s,
        messages_s=fleet.boards * a_second,
        in_mb_s=total,
        streams=math.ceil(total / STREAM_MB_S),
        nodes=nodes,
        disk_mb_s_a_node=written / nodes,
        in_mb_s_a_node=written / nodes,
        out_mb_s_a_node=sent / nodes,
        tb_a_node=written * 86400 * fleet.days / 1e6 / nodes,
        journal_gb_an_hour=samples_mb_s * 3600 / 1e3,
    )


def table(fleets: list[Fleet]) -> str:
    """A row a fleet, in Markdown."""
    lines = [
        "| boards | kS/s each | in MB/s | messages/s | streams | nodes | a node: disk MB/s | in MB/s | out MB/s | TB |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for fleet in fleets:
        need = reckoned(fleet)
        cells = [
            *map(_short, (fleet.boards, fleet.rate / 1e3, need.in_mb_s, need.messages_s, need.streams, need.nodes)),
            *map(_short, (need.disk_mb_s_a_node, need.in_mb_s_a_node, need.out_mb_s_a_node, need.tb_a_node)),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _short(number: float) -> str:
    """Three digits, or all that are before the point."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def of_page() -> str:
    """The table that FLEET.md is to have: of slow boards and of fast ones."""
    return table([Fleet(boards, rate) for rate in (100_000.0, 800_000.0) for boards in (1, 10, 1000)])


def differs() -> bool:
    """True if the page says something else than is reckoned."""
    text = PAGE.read_text(encoding="utf-8")
    begin, end = text.find(BEGIN), text.find(END)
    return begin < 0 or end < begin or text[begin + len(BEGIN) : end].strip() != of_page()


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, help="how many")
    parser.add_argument("--rate", type=float, default=100_000.0, help="samples a second of each, all channels together")
    parser.add_argument("--item-bytes", type=int, default=2, help="of a code")
    parser.add_argument("--replicas", type=int, default=3, help="servers that keep each message")
    parser.add_argument("--readers", type=int, default=2, help="who follow each board")
    parser.add_argument("--days", type=float, default=7.0, help="how long the servers keep it")
    parser.add_argument("--network-mb-s", type=float, default=NETWORK_MB_S, help="of a node, each way")
    parser.add_argument("--check", action="store_true", help="hold FLEET.md against it")
    options = parser.parse_args()
    if options.check:
        if differs():
            print(f"{PAGE.name} has not what is reckoned:\n{of_page()}", file=sys.stderr)
            return 1
        return 0
    if options.boards is None:
        print(of_page())
        return 0
    fleet = Fleet(
        options.boards, options.rate, options.item_bytes, options.replicas, options.readers, options.days,
        options.network_mb_s,
    )  # fmt: skip
    print(table([fleet]))
    journal = f"{reckoned(fleet).journal_gb_an_hour:.3g} GB an hour"
    print(f"\nA journal at the board grows by {journal} while the servers are away.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
