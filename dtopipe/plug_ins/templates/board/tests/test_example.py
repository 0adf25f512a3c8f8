"""The board keeps the contract."""

from typing import ClassVar
from uuid import uuid4

from dtopipe_example import ExampleBoard

from dtopipe.testing import BoardConformance, task_of


class TestExample(BoardConformance):
    board = ExampleBoard
    type_name = "example"
    # A device of its own, for only one run of the machine has it: suites may run beside each other.
    options: ClassVar[dict[str, str]] = {"device": f"tried-{uuid4().hex[:8]}"}
    task = task_of("a", "b", rate_hz=1000.0, samples_per_block=20)
