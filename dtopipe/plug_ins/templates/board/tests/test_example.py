"""The board keeps the contract."""

from dtopipe_example import ExampleBoard

from dtopipe.testing import BoardConformance, task_of


class TestExample(BoardConformance):
    board = ExampleBoard
    type_name = "example"
    task = task_of("a", "b", rate_hz=1000.0, samples_per_block=20)
