"""The sink keeps the contract; what its format cannot hold stands here as well."""

from dtopipe_example import ExampleWriter

from dtopipe.testing import SinkConformance


class TestExample(SinkConformance):
    writer = ExampleWriter
    type_name = "example"
    file_name = "out.txt"
