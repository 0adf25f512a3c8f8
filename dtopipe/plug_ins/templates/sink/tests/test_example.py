"""The sink keeps the contract; what its format cannot hold beyond what its description says stands here as well."""

from dtopipe_example import EXAMPLE

from dtopipe.testing import SinkConformance


class TestExample(SinkConformance):
    sink_type = EXAMPLE
