"""How a run begins: ring first, then the sinks, then the board."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from parts import LISTEN, RATE_HZ, Bench, journal, sink

from dtopipe.core.lifecycle import WorkerState
from dtopipe.model.errors import TopologyError
from dtopipe.model.policy import Policy
from dtopipe.supervisor.progress import Phase
from dtopipe.wire.messages import BeginServing, BeginSink, Failed, Hello, Serving, StartBoard
from dtopipe.wire.orders import SinkOrders

Make = Callable[..., Bench]


def test_all_processes_are_started_at_once(a_bench: Make) -> None:
    bench = a_bench(journal(), sink("table"), listen=LISTEN)
    bench.start()
    assert [name for name, _ in bench.starter.started] == ["acquirer", "gateway", "raw", "table"]
    orders = bench.process("table").orders
    assert isinstance(orders, SinkOrders)
    assert (orders.type, orders.policy, orders.address) == ("csv", Policy.BLOCK, "sink.table.0")


def test_no_sink_begins_before_there_is_a_ring_and_the_board_not_before_every_sink_is_ready(a_bench: Make) -> None:
    bench = a_bench(sink("a"), sink("b"))
    bench.start()
    bench.says("sink.a.0", Hello(1))
    bench.turn()
    assert bench.sent.messages == []
    bench.open_board()
    bench.turn()
    begin = bench.sent.to("sink.a.0")[0]
    assert isinstance(begin, BeginSink)
    assert (begin.start, begin.committed, begin.resume, begin.journal) == (0, 0, False, None)
    assert begin.stream.rate_hz == RATE_HZ
    bench.ready("a")
    bench.turn()
    assert bench.phase() is Phase.OPENING
    assert not bench.sent.to("acquirer.0")
    bench.ready("b")
    bench.turn()
    assert bench.phase() is Phase.RUNNING
    assert [type(each) for each in bench.sent.to("acquirer.0")] == [StartBoard]
    assert {agent.state for agent in bench.sinks} == {WorkerState.RUNNING}
    assert bench.events.names()[-1] == "running"


def test_the_board_waits_for_a_port_that_is_to_be_served(a_bench: Make) -> None:
    bench = a_bench(listen=LISTEN)
    bench.start()
    bench.open_board()
    bench.turn()
    bench.ready("table")
    bench.turn()
    assert bench.phase() is Phase.OPENING
    bench.says("gateway.0", Serving("tcp://127.0.0.1:5700"))
    bench.turn()
    assert bench.phase() is Phase.RUNNING
    bench.turn()
    begin = bench.sent.to("gateway.0")[0]
    assert isinstance(begin, BeginServing)
    assert begin.journal is None


def test_who_is_covered_by_a_journal_is_told_where_it_is(a_bench: Make) -> None:
    bench = a_bench(journal(), sink("table"), sink("view", policy=Policy.DROP_OLDEST))
    bench.run()
    journals = {}
    for name in ("raw", "table", "view"):
        begin = bench.sent.to(f"sink.{name}.0")[0]
        assert isinstance(begin, BeginSink)
        journals[name] = begin.journal
    assert journals == {"raw": None, "table": str(bench.agent("raw").path), "view": None}


def test_what_a_run_is_killed_with_before_its_first_sample_is_on_record(a_bench: Make) -> None:
    bench = a_bench()
    bench.start()
    bench.open_board()
    bench.turn()
    record = bench.folder.read_record()
    assert record["stream"]["rate_hz"] == RATE_HZ
    assert record["sinks"]["table"]["state"] == "starting"
    assert bench.places.told[-1]["segment"] == bench.memory.segment


@pytest.mark.parametrize(
    ("address", "words", "said"),
    [
        ("acquirer.0", {"message": "no such device", "remedy": "plug it in"}, "board: no such device\n    plug it in"),
        (
            "sink.table.0",
            {"message": "it is there already", "path": "/x/table.csv", "remedy": "take it away"},
            "sinks.table.path: /x/table.csv: it is there already\n    take it away",
        ),
        ("gateway.0", {"message": "in use", "remedy": "another port"}, "listen.endpoint: in use\n    another port"),
    ],
)
def test_what_cannot_begin_refuses_the_run_at_its_place(
    a_bench: Make, address: str, words: dict[str, Any], said: str
) -> None:
    bench = a_bench(listen=LISTEN)
    bench.start()
    bench.says(address, Failed(**words))
    bench.process({"acquirer.0": "acquirer", "gateway.0": "gateway"}.get(address, "table")).end(3)
    bench.turn()
    with pytest.raises(TopologyError) as refused:
        bench.turn()
    assert str(refused.value) == said


def test_a_process_that_dies_in_the_beginning_without_a_word_is_started_again(a_bench: Make) -> None:
    bench = a_bench()
    bench.start()
    for name in ("acquirer", "table"):
        bench.die(name, code=-11)
        bench.turn(5.0)
        assert len(bench.starter.of(name)) == 2
    bench.says("acquirer.1", Hello(1))
    bench.open_board()
    bench.turn()
    bench.ready("table")
    bench.turn()
    assert bench.phase() is Phase.RUNNING
