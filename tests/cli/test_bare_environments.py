"""Commands where the surroundings lack something: letters, a home folder, open files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from dtopipe.host import open_files
from dtopipe.model.errors import TopologyError, UsageError

TOPOLOGY = """\
board: {type: simulated, pace: max, max_samples: 500}
task: {rate_hz: 1000, channels: [{name: "Temperatur außen"}]}
sinks: {table: {type: csv, path: "größe.csv"}}
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="names and limits are others there")


def typed(folder: Path, *words: str, before: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """`dtopipe` as a shell starts it."""
    return subprocess.run(
        ["sh", "-c", f'{before} exec "$@"', "sh", sys.executable, "-P", "-m", "dtopipe", *words],
        cwd=folder, env={**os.environ, **environ}, capture_output=True, text=True, encoding="utf-8", check=False,
        timeout=60,
    )  # fmt: skip


@pytest.mark.skipif(
    not sys.prefix.isascii(), reason="Python itself does not start from such a folder in an ASCII locale"
)
def test_any_letters_stand_in_names_also_in_an_ascii_locale(tmp_path: Path) -> None:
    (tmp_path / "Meßplan.yaml").write_text(TOPOLOGY, encoding="utf-8")
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ran = typed(tmp_path, "up", "Meßplan.yaml", **ascii_only)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert list(tmp_path.glob("runs/Meßplan/*/größe.csv"))
    shown = typed(tmp_path, "status", "Meßplan", **ascii_only)
    assert "größe.csv" in shown.stdout


def test_too_few_open_files_are_said_before_anything_is_started(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(TOPOLOGY, encoding="utf-8")
    for limit in (10, 40):
        ran = typed(tmp_path, "up", "t.yaml", before=f"ulimit -n {limit};")
        assert ran.returncode == 2
        assert f"may have {limit} files open" in ran.stderr
        assert "ulimit -n 1024" in ran.stderr
    assert not (tmp_path / "runs").exists()


def test_a_limit_that_may_be_raised_is_raised() -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] != resource.RLIM_INFINITY and limits[1] < 2000:
        pytest.skip("this user may not open so many files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, limits[1]))
    try:
        open_files.ensure_open_files(300)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (1024, limits[1])
        if limits[1] != resource.RLIM_INFINITY:
            with pytest.raises(UsageError, match=r"ulimit -n"):
                open_files.ensure_open_files(limits[1] + 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_user_without_a_home_folder_is_told_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dtopipe.topology.attachment import sink_of_options
    from dtopipe.transport import key_folder

    def no_home(*_: object, **__: object) -> str:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv("DTOPIPE_KEYS_DIR", raising=False)
    monkeypatch.setattr(platformdirs, "user_config_dir", no_home)
    with pytest.raises(UsageError, match="set DTOPIPE_KEYS_DIR"):
        key_folder.keys_dir()
    monkeypatch.setattr(Path, "expanduser", no_home)
    with pytest.raises(TopologyError, match="set HOME"):
        sink_of_options("csv", "~/x.csv", "x", None, [], tmp_path)
