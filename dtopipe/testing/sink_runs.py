"""What a sink is in real runs: found by its type, recorded, verified, and repaired."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dtopipe.boards.registry import SIMULATED
from dtopipe.model.errors import SinkError
from dtopipe.model.parts import SinkPart
from dtopipe.model.policy import Layout
from dtopipe.model.references import referred
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.registry import RAW
from dtopipe.testing.commands import run_command
from dtopipe.testing.option_help import told_options
from dtopipe.testing.recordings import recorded
from dtopipe.testing.sink_suite import SinkSuite
from dtopipe.topology.options import sink_models


class SinkRuns(SinkSuite):
    """What topologies and commands need of it. A run needs `type_name`, and a package that is installed."""

    def test_a_layout_that_it_has_not_is_refused(self, tmp_path: Path) -> None:
        if self.file_name is None:
            pytest.skip("it writes no file")
        for layout in set(Layout) - set(self.its_layouts()):
            with pytest.raises(SinkError) as refused:
                output = OutputOptions(tmp_path / self.file_name, layout)
                self.writer_class()(output, **self.options).open(recorded(), 0, resume=False)
            assert refused.value.remedy, "an error says what to do"
        assert not list(tmp_path.iterdir()), "nothing is there of what was refused"

    def test_every_option_has_its_help_and_the_default_of_the_class(self) -> None:
        made = self.writer_class()
        own = self.sink_type.options if self.sink_type else None
        options = told_options(referred(own) if own else getattr(made, "Options", None))
        parameters = inspect.signature(made).parameters
        for name, field in options.model_fields.items():
            if name in SinkPart.model_fields:
                continue
            assert name in parameters, f"the class takes no {name}"
            if not field.is_required():
                assert field.get_default(call_default_factory=True) == parameters[name].default, name

    def test_a_real_run_is_recorded_and_verified_and_repaired_when_its_output_is_gone(self, tmp_path: Path) -> None:
        output = self._output()
        topology = {
            "name": "tried",
            "board": {"type": SIMULATED, "waveform": "counter", "max_samples": 3000},
            "task": {"rate_hz": 5000, "samples_per_block": 100, "channels": [{"name": "a"}, {"name": "b"}]},
            "sinks": {"archive": {"type": RAW, "path": "archive.dt-raw"}, "output": output},
        }
        (tmp_path / "tried.yaml").write_text(yaml.safe_dump(topology), encoding="utf-8")
        told = run_command(tmp_path, "up", "tried.yaml", "--json")
        counts = json.loads(told.stdout)["sinks"]["output"]
        assert (counts["committed"], counts["samples"], counts["gaps"]) == (3000, 3000, 0)
        if self.reader_class() is None:
            pytest.skip("it ran; what has no Reader is neither verified nor repaired")
        run_command(tmp_path, "verify", "tried/latest")
        if "path" not in output:
            return
        (folder,) = [path.parent for path in (tmp_path / "runs" / "tried").rglob("run.json")]
        for path in folder.glob(f"{output['path']}*"):
            path.unlink()
        run_command(tmp_path, "repair", "tried/latest")
        run_command(tmp_path, "verify", "tried/latest")

    def _output(self) -> dict[str, Any]:
        """What the topology says of it."""
        name = self.its_type_name()
        if name is None:
            pytest.skip("the suite has neither sink_type nor type_name")
        if name not in sink_models():
            pytest.skip(f"no installed package has an entry point of the name {name!r}: pip install -e .")
        suffix = self.sink_type.suffix if self.sink_type else ""
        path = {} if self.file_name is None else {"path": f"{self.file_name}{suffix}"}
        return {"type": name, **path, **self.options}
