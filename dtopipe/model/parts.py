"""The parts of a topology that types of boards and sinks extend by keys of their own."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from dtopipe.model.policy import Layout, OnExists, Policy
from dtopipe.model.quantities import HungLimit, Limit, Seconds, SplitText, Sync
from dtopipe.model.reduction import Reduce
from dtopipe.model.splitting import Split

# Far beyond any machine's memory.
_MOST_BLOCKS = 2**31


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("a path must not hold a NUL character")
    return value


PathText = Annotated[str, AfterValidator(_no_nul)]


class Part(BaseModel):
    """A part of a topology: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Pydantic would take true for 1."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and {int, float} & {annotation, *get_args(annotation)}:
            raise ValueError(f"must be a number, not {str(value).lower()}")
        return value


class RestartPart(Part):
    """How a process that died is started again."""

    max: int = Field(default=5, ge=0, description="At most so often ...")
    within: Seconds = Field(default=60.0, description="... in this time; then it has given up.")
    backoff: Seconds = Field(default=0.25, description="The first pause; each further one is twice as long.")


class SinkPart(Part):
    """What every sink may be told."""

    type: str = Field(description="As `dtopipe sinks` lists them.")
    path: PathText | None = Field(default=None, description="Where to write; relative to the run folder.")
    policy: Literal["block", "drop", "drop_oldest", "drop_newest"] = Field(
        default="block", description="block misses nothing; drop (= drop_oldest) and drop_newest never hold anybody up."
    )
    layout: Layout = Field(default=Layout.WIDE, description="wide: a row a sample; long: a row a sample and channel.")
    channels: list[str] | None = Field(default=None, min_length=1, description="Only these channels, in this order.")
    flush_interval: Seconds = Field(default=0.5, description="The longest that a taken block stays uncommitted.")
    essential: bool = Field(default=False, description="The run ends if this sink gives up.")
    on_exists: OnExists = Field(default=OnExists.ERROR, description="What becomes of an output that is there already.")
    restart: RestartPart = Field(default=RestartPart(), description="How its process is started again.")
    stall_limit: Limit = Field(
        default=None, description="How long this BLOCK sink may hold the acquirer; none: for ever."
    )
    on_stall: Literal["drop", "stop"] = Field(
        default="drop", description="Then: let the acquirer go on without it, or stop the run."
    )
    hung_limit: HungLimit = Field(
        default=60.0,
        description=(
            "How long its process may stand in one call (at its start a minute at least) before it is killed and "
            "started anew; none: for ever."
        ),
    )
    sync: Sync = Field(
        default=None,
        description="How often the output is made to survive a power cut: none (at the end), a time, every (commit).",
    )
    queue_blocks: int = Field(
        default=64, ge=1, le=_MOST_BLOCKS, description="Length of the private queue under drop_newest."
    )
    every: Seconds | None = Field(
        default=None, description="A view: one row for so much time, such as 1s, instead of a row a sample."
    )
    reduce: Reduce = Field(
        default="mean",
        description="What a row of `every` has of its samples: their mean, columns _min and _max, or the first one.",
    )
    split: SplitText | None = Field(
        default=None,
        description="A new file after so much time or size, such as 1h or 1GiB; {part} in the path is its number.",
    )
    delay_per_block: Seconds = Field(
        default=0.0, description="Rehearsal: sleep so long after each block, as a slow disk or viewer would."
    )

    when: str | None = Field(
        default=None,
        min_length=1,
        description='A trigger: write only what is around events, such as "tc1 > 60 for 1s"; any channels of the run.',
    )
    pre: Seconds | None = Field(default=None, description="What is kept before an event, such as 30s; default: none.")
    post: Seconds | None = Field(default=None, description="What is kept behind an event, such as 10s; default: none.")

    @field_validator("split")
    @classmethod
    def _is_split(cls, value: str | None) -> str | None:
        if value is not None:
            Split.of(value)
        return value

    @field_validator("pre", "post")
    @classmethod
    def _belongs_to_a_trigger(cls, value: float | None, info: ValidationInfo) -> float | None:
        # A trigger that cannot be read is there all the same.
        if value is not None and info.data.get("when", "") is None:
            raise ValueError('belongs to a trigger, and this sink has none: add when: "tc1 > 60 for 1s"')
        return value

    @property
    def policy_word(self) -> Policy:
        """`drop` is short for `drop_oldest`."""
        return Policy("drop_oldest" if self.policy == "drop" else self.policy)


class BoardPart(Part):
    """The source of samples."""

    type: str = Field(description="As `dtopipe boards` lists them.")
    hung_limit: HungLimit = Field(
        default=60.0,
        description=(
            "How long its process may stand in one call (at its start a minute at least) before it is killed and "
            "started anew; none: for ever."
        ),
    )
    restart: RestartPart | None = Field(
        default=None,
        description=(
            "How often a board that is away is tried again, such as {max: 100, within: 1h}; default: until it is back."
        ),
    )
