"""What a topology may say of a board that is another machine."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dtopipe.model.parts import BoardPart, PathText
from dtopipe.model.quantities import Endpoint, FollowedRuns, Start


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
