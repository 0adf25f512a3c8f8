"""What is known of the boards that come along."""

from __future__ import annotations

from dtopipe.model.board_types import BoardType, Options, RecordingFile


def _max_samples(options: Options) -> int | None:
    found: int | None = options.get("max_samples")
    return found


def _lost_before(options: Options, end: int) -> int:
    return sum(min(each["samples"], max(0, end - each["at"])) for each in options.get("overruns") or ())


SIMULATED = BoardType(
    name="simulated",
    board="dtopipe.boards.simulated:SimulatedBoard",
    options="dtopipe.boards.simulated_part:SimulatedBoardOptions",
    channel_options="dtopipe.boards.simulated_part:SimulatedChannel",
    kinds=("thermocouple", "rtd", "thermistor"),
    path_key="away_file",
    is_simulated=lambda options: True,
    ends_at=_max_samples,
    lost_before=_lost_before,
)

REPLAY = BoardType(
    name="replay",
    board="dtopipe.boards.replay:ReplayBoard",
    options="dtopipe.boards.replay_part:ReplayBoardOptions",
    path_key="path",
    recording=RecordingFile(
        task="dtopipe.boards.recorded_task:recorded_task",
        item_bytes="dtopipe.boards.recorded_task:recorded_item_bytes",
        length_s="dtopipe.boards.recorded_task:recorded_length_s",
    ),
    waits=lambda options: True,
)

REMOTE = BoardType(
    name="remote",
    board="dtopipe.boards.remote:RemoteBoard",
    options="dtopipe.boards.remote_part:RemoteBoardOptions",
    problems="dtopipe.boards.remote_checks:check_remote",
    path_key="server_key",
    follows=True,
    schemes=("tcp",),
)

DTOLLIB = BoardType(
    name="dtollib",
    board="dtopipe.boards.driver_library.board:DriverLibraryBoard",
    options="dtopipe.boards.driver_library.part:DriverLibraryBoardOptions",
    kinds=("thermocouple", "rtd", "thermistor", "resistance", "iepe", "strain", "bridge"),
    is_simulated=lambda options: options.get("backend") == "fake",
    ends_at=_max_samples,
)
