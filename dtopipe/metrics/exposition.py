"""A status snapshot as metrics of Prometheus, named by its conventions: units in names, counters end in `_total`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dtopipe.core.board_condition import BoardCondition
from dtopipe.core.lifecycle import SinkState
from dtopipe.metrics.processes import ProcessLoad
from dtopipe.model.errors import DtopipeError

if TYPE_CHECKING:
    from prometheus_client.core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PHASES = ("opening", "running", "draining", "finished")


def exposition(status: Mapping[str, Any], loads: Sequence[ProcessLoad] = (), *, is_healthy: bool = True) -> bytes:
    """What stands at `/metrics` for this snapshot of a run. Raises DtopipeError without prometheus_client."""
    try:
        from prometheus_client import CollectorRegistry, generate_latest
    except ImportError as error:
        raise DtopipeError("metrics need prometheus_client", 'pip install "dtopipe[metrics]"') from error

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(status, loads, is_healthy=is_healthy))
    return generate_latest(registry)


class _Collector:
    """What prometheus_client asks for the metrics of one snapshot."""

    def __init__(self, status: Mapping[str, Any], loads: Sequence[ProcessLoad], *, is_healthy: bool) -> None:
        self._status = status
        self._run = str(status["name"])
        self._loads = loads
        self._is_healthy = is_healthy

    def collect(self) -> Iterator[Metric]:
        """Every family once."""
        yield from self._of_run()
        yield from self._of_board()
        yield from self._of_sinks()
        yield from self._of_disks()
        yield from self._of_processes()

    def _gauge(self, name: str, text: str, values: Mapping[Any, Any], *labels: str) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        family = GaugeMetricFamily(f"dtopipe_{name}", text, labels=["run", *labels])
        yield from self._filled(family, values)

    def _counter(self, name: str, text: str, values: Mapping[Any, Any], *labels: str) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily

        family = CounterMetricFamily(f"dtopipe_{name}", text, labels=["run", *labels])
        yield from self._filled(family, values)

    def _filled(self, family: Any, values: Mapping[Any, Any]) -> Iterator[Metric]:
        """Nothing where nothing is known."""
        known = {labels: value for labels, value in values.items() if value is not None}
        for labels, value in known.items():
            family.add_metric([self._run, *labels], float(value))
        if known:
            yield family

    def _of_run(self) -> Iterator[Metric]:
        status = self._status
        about = (str(status["run_id"]), str(status["board"]["type"]), "yes" if status["simulated"] else "no")
        yield from self._gauge("run_info", "The run; always 1.", {about: 1}, "run_id", "board", "simulated")
        phases = {(phase,): phase == status["phase"] for phase in _PHASES}
        yield from self._gauge("run_phase", "1 for the phase that the run is in.", phases, "phase")
        yield from self._gauge("run_healthy", "1 while no sample is lost and samples arrive.", {(): self._is_healthy})
        yield from self._gauge("run_elapsed_seconds", "How long the run has lasted.", {(): status["elapsed_s"]})
        yield from self._gauge("marks", "Moments of the run that were named.", {(): status["marks"]["count"]})
        yield from self._gauge("subscribers", "Programs that follow the run.", {(): len(status["subscribers"])})
        yield from self._counter("malformed_messages", "What nobody could understand.", {(): status["malformed"]})
        limits = status.get("limits")
        if limits:
            watcher = limits.get("watcher") or {}
            yield from self._gauge("limits_crossed", "Limits that are crossed now.", {(): len(limits.get("now", ()))})
            missed = {(): watcher.get("missed_samples")}
            yield from self._counter("limits_missed_samples", "Samples that nobody watched.", missed)

    def _of_board(self) -> Iterator[Metric]:
        board = self._status["board"]
        per = "samples a channel"
        yield from self._counter("samples", f"Acquired, in {per}.", {(): board["samples"]})
        yield from self._counter("overrun_samples", f"Lost by the board, in {per}.", {(): board["overrun_samples"]})
        yield from self._counter("blocks", "Blocks that were acquired.", {(): board["blocks"]})
        end = {(): board["end_sample_index"]}
        yield from self._gauge("end_sample_index", "The sample index behind the newest sample.", end)
        rates = {("measured",): board["rate_hz"], ("nominal",): board["rate_nominal_hz"]}
        yield from self._gauge("sample_rate_hertz", "Samples a second and channel.", rates, "kind")
        yield from self._gauge("channels", "Channels of the board.", {(): board["channels"]})
        yield from self._counter("board_restarts", "How often the acquirer was started again.", {(): board["restarts"]})
        states = {(state.value,): state.value == board["condition"] for state in BoardCondition}
        yield from self._gauge("board_state", "1 for the state that the board is in.", states, "state")
        silent = {(): board["condition"] == BoardCondition.SILENT.value}
        yield from self._gauge("board_silent", "1 while the board delivers nothing and nothing says why.", silent)
        yield from self._gauge("headroom_seconds", "How long sinks may stop now.", {(): self._status["headroom_s"]})
        ring = self._status.get("ring") or {}
        slots = {("held",): ring.get("held_slots"), ("all",): ring.get("slots")}
        yield from self._gauge("ring_slots", "Places for blocks, and those that a sink still holds.", slots, "which")

    def _of_sinks(self) -> Iterator[Metric]:
        sinks: Mapping[str, Mapping[str, Any]] = self._status["sinks"]

        def of(key: str) -> dict[Any, Any]:
            return {(name,): sink.get(key) for name, sink in sinks.items()}

        about = {(name, sink["type"], sink["policy"]): 1 for name, sink in sinks.items()}
        yield from self._gauge("sink_info", "A sink; always 1.", about, "sink", "type", "policy")
        committed = "The sample index up to which the output is whole but for its gaps."
        yield from self._gauge("sink_committed_samples", committed, of("committed"), "sink")
        durable = "The sample index up to which that survives a power cut."
        yield from self._gauge("sink_durable_samples", durable, of("durable"), "sink")
        yield from self._gauge("sink_lag_samples", "How far it is behind the board.", of("lag_samples"), "sink")
        yield from self._gauge("sink_lag_seconds", "How far it is behind the board.", of("lag_s"), "sink")
        yield from self._gauge("sink_rate_hertz", "Samples a second and channel.", of("rate_hz"), "sink")
        yield from self._counter("sink_samples", "In the output, in samples a channel.", of("samples"), "sink")
        yield from self._counter("sink_gap_samples", "Absent from it, whatever the cause.", of("gaps"), "sink")
        yield from self._counter("sink_dropped_samples", "Of these missed by policy.", of("dropped"), "sink")
        untriggered = "Of these not to be written, for no event was near."
        yield from self._counter("sink_untriggered_samples", untriggered, of("untriggered"), "sink")
        yield from self._counter("sink_rows", "Rows in the output.", of("rows"), "sink")
        yield from self._counter("sink_restarts", "How often its worker was started again.", of("restarts"), "sink")
        states = {
            (name, state.value): state.value == sink["condition"] for name, sink in sinks.items() for state in SinkState
        }
        yield from self._gauge("sink_state", "1 for the state that the sink is in.", states, "sink", "state")

    def _of_disks(self) -> Iterator[Metric]:
        disks = self._status.get("disks", ())

        def of(key: str) -> dict[Any, Any]:
            return {(str(disk["folder"]),): disk.get(key) for disk in disks}

        yield from self._gauge("disk_free_bytes", "Free where outputs are.", of("free_bytes"), "folder")
        yield from self._gauge("disk_full_seconds", "When it is full if all goes on so.", of("full_in_s"), "folder")

    def _of_processes(self) -> Iterator[Metric]:
        cpu = {(load.process,): load.cpu_s for load in self._loads}
        yield from self._counter("process_cpu_seconds", "CPU time of a process of the run.", cpu, "process")
        memory = {(load.process,): load.resident_bytes for load in self._loads}
        yield from self._gauge("process_resident_memory_bytes", "Memory of a process of the run.", memory, "process")
