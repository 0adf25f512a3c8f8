"""Options of the built-in boards and sinks, importable without any extra, and how plug-ins bring theirs."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model, field_validator, model_validator

from dtopipe.model.errors import SinkOptionError
from dtopipe.model.postgres_config import PostgresConfig
from dtopipe.topology.quantities import Bytes, Endpoint, FollowedRuns, Retention, Start
from dtopipe.topology.schema import BoardPart, Part, PathText, SinkPart

# Sample indices are 64-bit; a hundred years at 1 GHz fit in.
_MOST_SAMPLES = 2**62

# Entry points of plug-ins.
BOARD_POINTS = "dtopipe.boards"
SINK_POINTS = "dtopipe.sinks"

Waveform = Literal["counter", "sine", "noise"]


def _capitals(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


# What risks no committed row.
JournalMode = Annotated[Literal["WAL", "DELETE", "TRUNCATE", "PERSIST"], BeforeValidator(_capitals)]
Synchronous = Annotated[Literal["OFF", "NORMAL", "FULL", "EXTRA"], BeforeValidator(_capitals)]


class SimulatedChannel(Part):
    """What one channel of the simulated board may have of its own."""

    waveform: Waveform | None = Field(default=None, description="counter, sine or noise; default: the board's.")
    frequency_hz: float | None = Field(default=None, ge=0, description="Of the sine; default: the board's.")
    amplitude: float | None = Field(
        default=None, ge=0, le=1, description="0 to 1 of half the range; default: the board's."
    )
    phase: float | None = Field(default=None, description="Of the sine, in radians; default: the board's.")
    seed: int | None = Field(default=None, description="Of the noise; default: the board's.")


class ScriptedOverrun(Part):
    """Samples that the board loses on purpose."""

    at: int = Field(ge=0, le=_MOST_SAMPLES, description="The first sample index that is lost.")
    samples: int = Field(gt=0, le=_MOST_SAMPLES, description="How many, per channel.")


class SensorFault(Part):
    """A sensor that is not OK for a while."""

    channel: str = Field(description="The channel's name.")
    at: int = Field(ge=0, le=_MOST_SAMPLES, description="The first sample index of it.")
    samples: int = Field(gt=0, le=_MOST_SAMPLES, description="For how many samples.")
    status: Literal["open", "low", "high"] = Field(default="open", description="What is wrong with the sensor.")


class SimulatedBoardOptions(BoardPart):
    """A converter of pure functions: its own oracle."""

    waveform: Waveform = Field(
        default="sine", description="counter: ((i * (2c + 1) + 257c) mod 65536) - 32768; sine; noise."
    )
    frequency_hz: float = Field(default=1.0, ge=0, description="Of the sine.")
    amplitude: float = Field(default=0.5, ge=0, le=1, description="0 to 1 of half the range.")
    phase: float = Field(default=0.0, description="Of the sine, in radians.")
    seed: int = Field(default=0, description="Of the noise.")
    pace: Literal["realtime", "max"] = Field(
        default="realtime",
        description="realtime: a clocked converter, which overruns when nobody reads; max: as fast as the ring allows.",
    )
    overruns: list[ScriptedOverrun] = Field(
        default_factory=list, description="Losses on purpose, such as [{at: 20000, samples: 3000}]."
    )
    sensor_faults: list[SensorFault] = Field(
        default_factory=list,
        description=(
            "Sensors that are not OK for a while, such as [{channel: tc1, at: 5000, samples: 200, status: open}]."
        ),
    )
    max_samples: int | None = Field(
        default=None, ge=1, le=_MOST_SAMPLES, description="The run ends at this sample index."
    )
    device: str | None = Field(
        default=None, description="A name makes it one unit that only one run at a time may hold."
    )
    away_file: PathText | None = Field(
        default=None,
        min_length=1,
        description=(
            "Rehearsal of a cable that is pulled: while this file is there, the board does not answer; relative to "
            "the topology's folder."
        ),
    )


class ReplayBoardOptions(BoardPart):
    """Plays a .dt-raw file with its codes, rate, channels and gaps."""

    path: PathText = Field(
        min_length=1, description="The recording, a .dt-raw file; relative to the topology's folder."
    )
    speed: float | Literal["max"] = Field(
        default=1.0, description="1.0 is the recording's own rate, 2.0 twice that; max is as fast as the ring allows."
    )
    loop: bool = Field(default=False, description="Begin again at the end, with rising sample indices.")

    @field_validator("speed")
    @classmethod
    def _forward(cls, value: float | str) -> float | str:
        if isinstance(value, float) and not value > 0:
            raise ValueError("a speed is more than 0, or max")
        return value


class RemoteBoardOptions(BoardPart):
    """The run of another machine, whose topology says listen."""

    endpoint: Endpoint = Field(description="Where it listens, such as tcp://daq-pc:5700.")
    server_key: PathText | None = Field(
        default=None, description="That machine's public key, a .pub file; relative to the topology's folder."
    )
    runs: FollowedRuns = Field(
        default="next",
        description=(
            "next: the run in progress there, else the next one; every: one after the other; or the run_id of one run."
        ),
    )
    start: Start = Field(
        default="earliest",
        description="earliest: all that the other machine has; latest: from now on; or a sample index.",
    )
    policy: Literal["block", "drop"] = Field(
        default="block",
        description=(
            "block: misses nothing that the other machine's journal has; drop: costs it nothing, and is passed over."
        ),
    )
    insecure: bool = Field(default=False, description="true: without keys; the other side must say so too.")


class DriverLibraryBoardOptions(BoardPart):
    """Data Translation's boards by way of dtollib; needs the extra `dtol`, Python 3.13 and, to measure, Windows."""

    backend: Literal["real", "fake"] = Field(
        default="real",
        description="fake: computed samples by way of the driver library's fake backend, on any machine.",
    )
    device: str | None = Field(
        default=None, description="The board's name in the driver's list, such as DT9805(00); default: the first."
    )
    element: int = Field(default=0, ge=0, description="Which of the board's input subsystems.")
    waveform: Waveform = Field(default="sine", description="Of the fake backend, as the simulated board's.")
    frequency_hz: float = Field(default=1.0, ge=0, description="Of the fake backend's sine.")
    amplitude: float = Field(default=0.5, ge=0, le=1, description="Of the fake backend: 0 to 1 of half the range.")
    phase: float = Field(default=0.0, description="Of the fake backend's sine, in radians.")
    seed: int = Field(default=0, description="Of the fake backend's noise.")
    overruns: list[ScriptedOverrun] = Field(
        default_factory=list, description="Losses of the fake backend on purpose, such as [{at: 20000, samples: 3000}]."
    )
    max_samples: int | None = Field(
        default=None, ge=1, le=_MOST_SAMPLES, description="The fake backend ends at this sample index."
    )


class CsvOptions(SinkPart):
    """CSV after RFC 4180: a header line, then a line a row."""

    path: PathText = Field(min_length=1, description="The file; relative to the run folder.")


class JsonlOptions(SinkPart):
    """JSON Lines: an object a row."""

    path: PathText = Field(min_length=1, description="The file; relative to the run folder.")


class HbufOptions(SinkPart):
    """Raw codes as the board gave them, .dt-raw v2."""

    path: PathText = Field(min_length=1, description="The file; relative to the run folder.")
    segment: Bytes | None = Field(
        default=None,
        description="The next file begins at this size: archive.0001.dt-raw, ..., such as 1GiB; default: one file.",
    )
    journal: bool | None = Field(
        default=None,
        description=(
            "BLOCK sinks that fall behind the ring catch up from it; default: the first hbuf sink that takes every "
            "sample."
        ),
    )
    retention: Retention = Field(
        default="all",
        description="all, or {until: durable}: a journal's segment goes once it is durable in every other BLOCK sink.",
    )


class SqliteOptions(SinkPart):
    """Tables in one SQLite file."""

    path: PathText = Field(min_length=1, description="The file; relative to the run folder.")
    table_readings: str = Field(default="readings", description="Name of the table of readings.")
    table_blocks: str = Field(default="blocks", description="Name of the table of block summaries.")
    journal_mode: JournalMode = Field(default="WAL", description="SQLite's pragma, while the file is open.")
    synchronous: Synchronous = Field(default="NORMAL", description="SQLite's pragma.")
    busy_timeout_ms: int = Field(default=5000, ge=0, description="How long to wait for another program's lock.")


class ParquetOptions(SinkPart):
    """One Parquet file at the end; needs the extra `parquet`."""

    path: PathText = Field(min_length=1, description="The file; relative to the run folder.")
    compression: Literal["zstd", "snappy", "gzip", "lz4", "brotli", "none"] = Field(
        default="zstd", description="Of the columns' pages; where the encoding is plain, snappy stands for zstd."
    )
    encoding: Literal["newer", "plain"] = Field(
        default="newer",
        description="plain: for readers that lack the newer encodings (fastparquet, parquetjs); the file is larger.",
    )
    use_dictionary: bool = Field(
        default=True, description="Dictionaries for columns of few different values, where they are smaller."
    )
    row_group_size: int | None = Field(default=None, ge=1, description="Rows in a group; default about a million.")


with warnings.catch_warnings():
    # pydantic has a method of the name `schema`, long out of use.
    warnings.simplefilter("ignore", UserWarning)

    class PostgresOptions(SinkPart):
        """Tables in one schema of a PostgreSQL database; needs the extra `postgres`."""

        dsn: str | None = Field(
            default=None,
            description="postgresql://user:${PGPASSWORD}@host:5432/database; or host and the keys behind it.",
        )
        host: str | None = Field(default=None, description="Of the server, or the folder of its Unix socket.")
        port: int = Field(default=5432, ge=1, le=65535, description="Of the server.")
        user: str | None = Field(default=None, description="Who writes; default: as libpq has it.")
        password: str | None = Field(
            default=None, description="Of the user, such as ${PGPASSWORD}; records never hold it."
        )
        database: str | None = Field(default=None, description="Which one; default: as libpq has it.")
        schema: str | None = Field(  # type: ignore[assignment]
            default=None, description="Holds all tables; default: the topology's name."
        )
        table_readings: str = Field(default="readings", description="Name of the table of readings.")
        table_blocks: str = Field(default="blocks", description="Name of the table of block summaries.")
        pool_min_size: int = Field(
            default=1, ge=1, description="Without effect: a second connection is made when it is needed."
        )
        pool_max_size: int = Field(
            default=4,
            ge=1,
            description="1: one connection only; else a large commit goes through two. More are never made.",
        )
        statement_timeout_ms: int = Field(default=30_000, ge=0, description="The server's limit of one statement.")
        command_timeout_s: float = Field(
            default=10.0, gt=0, description="How long an answer of the server is waited for."
        )
        create_tables: bool = Field(default=True, description="Make schema, tables and columns that are not there.")
        use_copy: bool = Field(default=True, description="Binary COPY; false: INSERT, several times slower.")

        @model_validator(mode="after")
        def _can_be(self) -> Self:
            if self.path is not None:
                raise ValueError("a postgres sink has no path: give it a dsn, or a host")
            try:
                postgres_config(self.model_dump(), "of the topology")
            except SinkOptionError as error:
                # Of the pydantic error nothing else is shown: what was given may hold a password.
                raise ValueError(f"{error.message}: {error.remedy}") from None
            return self


def postgres_config(options: Mapping[str, Any], name: str) -> PostgresConfig:
    """The connection that these options describe, for a topology of this name. Raises SinkOptionError."""
    known = {field.name for field in fields(PostgresConfig)}
    chosen = {key: value for key, value in options.items() if key in known}
    return PostgresConfig(**{**chosen, "schema": chosen.get("schema") or name})


class PluggedBoard(BoardPart):
    """A plug-in's board; its options pass through."""

    model_config = ConfigDict(extra="allow", frozen=True)


class PluggedSink(SinkPart):
    """A plug-in's sink; its options pass through."""

    model_config = ConfigDict(extra="allow", frozen=True)


class SinkOfKnownKeys(SinkPart):
    """A plug-in's sink whose keys are the keyword arguments of its class; what is not given is left to it."""


BOARDS: Mapping[str, type[BoardPart]] = {
    "simulated": SimulatedBoardOptions,
    "replay": ReplayBoardOptions,
    "remote": RemoteBoardOptions,
    "dtollib": DriverLibraryBoardOptions,
}
SINKS: Mapping[str, type[SinkPart]] = {
    "csv": CsvOptions,
    "hbuf": HbufOptions,
    "jsonl": JsonlOptions,
    "parquet": ParquetOptions,
    "postgres": PostgresOptions,
    "sqlite": SqliteOptions,
}


def board_models() -> dict[str, type[BoardPart]]:
    """The options of every board type that is installed. A plug-in's class may carry them as `Options`."""
    return _plugged(BOARD_POINTS, PluggedBoard) | dict(BOARDS)


def sink_models() -> dict[str, type[SinkPart]]:
    """The options of every sink type that is installed."""
    return _plugged(SINK_POINTS, PluggedSink) | dict(SINKS)


def broken_plug_ins(group: str) -> dict[str, str]:
    """Name: why, of every plug-in behind these entry points that cannot be loaded."""
    base = PluggedBoard if group == BOARD_POINTS else PluggedSink
    found = {name: _model(point, base) for name, point in _points(group).items()}
    return {name: str(error) or type(error).__name__ for name, error in found.items() if isinstance(error, Exception)}


def own_options(part: BaseModel, base: type[BaseModel]) -> dict[str, Any]:
    """What of a part is its type's own, as plain values; `path` of a sink is everybody's."""
    given = part.model_dump(mode="json", exclude_unset=isinstance(part, SinkOfKnownKeys))
    return {key: value for key, value in given.items() if key not in base.model_fields}


def _points(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def _plugged(group: str, base: type[Any]) -> dict[str, type[Any]]:
    """The options of every plug-in that can be loaded."""
    found = {name: _model(point, base) for name, point in _points(group).items()}
    return {name: model for name, model in found.items() if not isinstance(model, Exception)}


def _model(point: EntryPoint, base: type[Any]) -> type[Any] | Exception:
    """The plug-in's own options on top of everybody's, or the error: somebody else's code may raise anything.

    Without options of its own, those of a sink are the keyword arguments that its class takes; where that takes any,
    and of a board, all keys pass.
    """
    try:
        plugged = point.load()
        own = getattr(plugged, "Options", None)
        doc = {"__doc__": plugged.__doc__ or f"A plug-in's: {point.value}."}
        if isinstance(own, type) and issubclass(own, BaseModel):
            model: type[Any] = type(own.__name__, (own, base.__mro__[1]), doc)
        elif base is PluggedSink and (keys := _keywords(plugged)) is not None:
            fields_of: dict[str, Any] = dict.fromkeys(keys, (Any, None))
            model = create_model("SinkOfKnownKeys", __base__=SinkOfKnownKeys, __doc__=doc["__doc__"], **fields_of)
        else:
            model = type(base.__name__, (base,), doc)
        model.model_json_schema()
    except Exception as error:
        return error
    return model


def _keywords(writer: Any) -> list[str] | None:
    """What a writer's class takes besides the output, which comes first; None for anything, or where it is not said."""
    try:
        output, *more = inspect.signature(writer).parameters.values()
    except (TypeError, ValueError):
        return None
    if output.kind is output.VAR_POSITIONAL or any(each.kind is each.VAR_KEYWORD for each in (output, *more)):
        return None
    return [each.name for each in more if each.name not in SinkPart.model_fields]
