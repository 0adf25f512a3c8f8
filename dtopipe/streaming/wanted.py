"""What a program asks for that follows a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import index
from pathlib import Path
from typing import Any

from dtopipe.model.errors import SpecError
from dtopipe.model.policy import Policy
from dtopipe.transport.source_link import is_endpoint

_POLICIES = {"block": Policy.BLOCK, "drop": Policy.DROP_OLDEST, "drop_oldest": Policy.DROP_OLDEST}


@dataclass(frozen=True, slots=True)
class Wanted:
    """`run` is one of this machine, or an endpoint, with its keys and other options of the board that follows there.

    Raises SpecError where that cannot be.
    """

    run: str | os.PathLike[str] | None
    policy: str
    start: str | int
    copies: bool
    run_dir: Path
    server_key: Path | None = None
    insecure: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what no run can do."""
        if self.policy not in _POLICIES:
            raise SpecError(f"policy {self.policy!r}: a subscriber's is drop or block")
        if not self.is_remote and (self.server_key is not None or self.insecure):
            raise SpecError("server_key and insecure are for an endpoint, such as tcp://daq-pc:5700")
        if not self.is_remote and self.options:
            raise SpecError("options are for an endpoint, such as nats://server:4222")
        if self.start in ("latest", "earliest"):
            return
        if isinstance(self.start, str | bool) or not hasattr(self.start, "__index__") or index(self.start) < 0:
            raise SpecError(f"start {self.start!r}: it is latest, earliest, or a sample index")

    @property
    def policy_word(self) -> Policy:
        """`drop` is short for `drop_oldest`."""
        return _POLICIES[self.policy]

    @property
    def is_remote(self) -> bool:
        """True for the run of another machine."""
        return self.run is not None and is_endpoint(os.fspath(self.run))

    @property
    def since(self) -> str | int:
        """The start, an index as a plain integer."""
        return self.start if isinstance(self.start, str) else index(self.start)
