"""The whole suite of a sink."""

from __future__ import annotations

from dtopipe.testing.sink_deaths import SinkDeaths
from dtopipe.testing.sink_faults import SinkFaults
from dtopipe.testing.sink_promises import SinkPromises
from dtopipe.testing.sink_readings import SinkReadings
from dtopipe.testing.sink_runs import SinkRuns


class SinkConformance(SinkPromises, SinkReadings, SinkDeaths, SinkFaults, SinkRuns):
    """Everything that `dtopipe.sinks.contract` promises. An author derives a class whose name begins with `Test`.

    Class attributes say what is tried (SinkSuite): `writer` is required, and what the format cannot hold is said there
    as well, so that the suite says what the sink is.
    """
