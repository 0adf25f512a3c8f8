"""What a topology may say: keys, types, defaults. What is a board's or a sink's own stands with its type."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from dtopipe.model.calibration_part import CalibrationPart
from dtopipe.model.parts import Part, PathText
from dtopipe.model.quantities import Bytes, Endpoint, Limit, PlainSeconds, Seconds
from dtopipe.sinks.registry import EXAMPLE

# Times are integers of nanoseconds that rise from sample to sample.
_FASTEST_HZ = 1e9
_SLOWEST_HZ = 1e-6
# Far beyond any machine's memory; what is below is told how much memory it would take.
_MOST_BLOCKS = 2**31
_MOST_SAMPLES_A_BLOCK = 2**31
_LONGEST_RING_S = 1e9
_EXAMPLE = f"{{table: {{type: {EXAMPLE}, path: table.{EXAMPLE}}}}}"


class RingPart(Part):
    """How much the shared-memory ring holds; exactly one of the three."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    seconds: PlainSeconds | None = Field(
        default=None,
        gt=0,
        le=_LONGEST_RING_S,
        description="Seconds of data, at the board's real rate; two blocks at least.",
    )
    slots: int | None = Field(
        default=None, ge=2, le=_MOST_BLOCKS, description="Blocks; one is written while another is read."
    )
    bytes: Bytes | None = Field(default=None, description="Memory, such as 64MiB; two blocks at least.")

    @model_validator(mode="after")
    def _exactly_one(self) -> RingPart:
        if sum(value is not None for value in (self.seconds, self.slots, self.bytes)) != 1:
            raise ValueError("give exactly one of seconds, slots and bytes")
        return self


# Of channels of any board; a type of board may have others besides.
KINDS = ("voltage", "current", "raw")


class ChannelPart(Part):
    """One converter input. Other keys are options of the channel's kind, or of the board."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(min_length=1, description="Unique; a column's name in every output.")
    kind: str = Field(
        default="voltage", description="voltage, current, raw (codes as they are), or what the board's driver knows."
    )
    physical_channel: int | None = Field(
        default=None,
        ge=0,
        description="The input's number on the board; default: its place among the inputs of this list.",
    )
    range: tuple[float, float] | None = Field(
        default=None, description="[lowest, highest] value in the unit; default [-10, 10]."
    )
    unit: str | None = Field(
        default=None,
        description="Of the range, and of values that are not calibrated. Default: the board's own, such as V.",
    )
    calibration: CalibrationPart | None = Field(
        default=None,
        description="From the input to values in another unit, such as {thermocouple: K, cjc: 25}.",
    )
    formula: str | None = Field(
        default=None,
        min_length=1,
        description='Makes it a virtual channel, worked out from others for tables: "flux * area". It has no input.',
    )
    constants: dict[str, float] = Field(
        default_factory=dict, alias="with", description="Numbers in the formula by name, such as {area: 0.01}."
    )

    @field_validator("range")
    @classmethod
    def _rises(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not value[0] < value[1]:
            what = "empty" if value[0] == value[1] else "upside down"
            raise ValueError(f"this range is {what}: [{value[0]:g}, {value[1]:g}]")
        return value


class TaskPart(Part):
    """What the board is to acquire."""

    mode: Literal["continuous", "polled"] = Field(
        default="continuous",
        description=(
            "continuous: blocks of a sample clock; polled: readings, each asked for by itself, with its own times."
        ),
    )
    rate_hz: float = Field(
        gt=0, le=_FASTEST_HZ, description="Samples per second and channel; polled: how often the board is asked."
    )
    samples_per_block: int | None = Field(
        default=None,
        ge=1,
        le=_MOST_SAMPLES_A_BLOCK,
        description="Samples per channel in a block; default about 250 ms; always 1 if polled.",
    )
    driver_buffers: int = Field(
        default=4, ge=3, le=_MOST_BLOCKS, description="Blocks that the board can hold by itself, 3 or more."
    )
    channels: list[ChannelPart] = Field(
        min_length=1,
        description="The inputs in the order of the outputs' columns, such as [{name: flux}, {name: tc1}].",
    )

    @field_validator("rate_hz")
    @classmethod
    def _is_a_rate(cls, value: float) -> float:
        if value < _SLOWEST_HZ:
            raise ValueError(f"must be {_SLOWEST_HZ:g} or more: a sample in eleven days")
        return value


class ListenPart(Part):
    """Serve the run to other machines."""

    endpoint: Endpoint = Field(
        description="Where to listen, such as tcp://0.0.0.0:5700 (0.0.0.0: at every IPv4 address of this machine)."
    )
    insecure: bool = Field(
        default=False,
        description="true: to everybody who can reach it, without keys, readable and changeable on the way.",
    )
    keep_for: Limit = Field(
        default=3600.0,
        description=(
            "How long a machine that follows may be away before it is forgotten: until then a journal keeps what it "
            "lacks."
        ),
    )


class LimitPart(Part):
    """Where a channel's values are to be; `high`, `low`, or both."""

    high: float | None = Field(default=None, description="Values above it are a crossing, in the channel's own unit.")
    low: float | None = Field(default=None, description="Values below it are one too.")
    lasting: Seconds = Field(
        default=0.0, alias="for", description="Only once it has lasted so long, such as 2s; default: at once."
    )
    unit: str | None = Field(default=None, description="The channel's; any other is refused.")

    @field_validator("lasting", mode="before")
    @classmethod
    def _is_a_time(cls, value: Any) -> Any:
        is_negative = value < 0 if isinstance(value, int | float) else str(value).strip().startswith("-")
        if is_negative:
            raise ValueError(f"a time is not negative; this is {value!r}")
        return value

    @model_validator(mode="after")
    def _leaves_room(self) -> LimitPart:
        if self.high is None and self.low is None:
            raise ValueError("give high, low, or both")
        if self.high is not None and self.low is not None and not self.low < self.high:
            raise ValueError(f"low is {self.low:g}, and must be less than high, which is {self.high:g}")
        return self


Argv = Annotated[list[str], Field(min_length=1)]


class OnPart(Part):
    """Commands of one's own, each a program and its arguments; what happened is JSON on its standard input."""

    start: Argv | None = Field(default=None, description="The first sample may come, such as [python, lamp.py, green].")
    limit: Argv | None = Field(default=None, description="A limit is crossed, such as [python, notify.py].")
    overrun: Argv | None = Field(default=None, description="The board has lost samples.")
    disk_low: Argv | None = Field(default=None, description="A disk will be full soon.")
    silent: Argv | None = Field(default=None, description="The board delivers nothing any more.")
    verdict: Argv | None = Field(default=None, description="The run has ended, and its folder is complete.")


class TopologyPart(Part):
    """The whole file; board and sinks are checked by their types' own models."""

    name: str | None = Field(default=None, min_length=1, description="Of the run; default: the file's stem.")
    run_dir: PathText = Field(
        default="runs", min_length=1, description="Where runs are kept; relative to the current folder."
    )
    duration: Seconds | None = Field(default=None, description="Board time after which the run ends.")
    overtime_limit: Limit = Field(
        default=30.0,
        description=(
            "How long beyond `duration`, in real time, a board is waited for that delivers nothing; none: for ever."
        ),
    )
    drain_limit: Seconds = Field(default=60.0, description="How long the end may wait for a sink that does not get on.")
    metadata: dict[str, Any] = Field(
        default_factory=dict, description="Stored with every output; null: `up` refuses until --meta gives it."
    )
    board: dict[str, Any] = Field(
        description="The source of samples, such as {type: simulated}; `dtopipe boards` lists what there is."
    )
    task: dict[str, Any] | None = Field(
        default=None, description="What to acquire, such as {rate_hz: 1000, channels: [{name: flux}]}."
    )
    ring: RingPart = Field(default=RingPart(seconds=4.0), description="The shared-memory ring, such as {seconds: 4}.")
    sinks: dict[str, dict[str, Any]] = Field(
        min_length=1, description=f"Where samples go, each with a name, such as {_EXAMPLE}."
    )

    limits: dict[str, LimitPart] = Field(
        default_factory=dict,
        description="Of channels, virtual ones too, such as {tc1: {high: 900, for: 2s}}: crossings are told.",
    )
    on: OnPart | None = Field(
        default=None, description="Commands that are run when something happens, such as {limit: [python, notify.py]}."
    )
    listen: ListenPart | None = Field(
        default=None,
        description=(
            'Serve the run to other machines whose keys are authorized, such as {endpoint: "tcp://0.0.0.0:5700"}.'
        ),
    )

    @field_validator("duration")
    @classmethod
    def _lasts(cls, value: float | None) -> float | None:
        if value is not None and value <= 0:
            raise ValueError("a run lasts longer than 0 s")
        return value
