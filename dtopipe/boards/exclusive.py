"""A device that only one run of the machine at a time can hold, whoever started it."""

from __future__ import annotations

import os

from dtopipe.host.identity import who_is_here
from dtopipe.host.machine_wide import MachineWideName, NameTaken
from dtopipe.host.users import user_name
from dtopipe.model.errors import BoardError
from dtopipe.model.shown import shown


class ExclusiveDevice:
    """One named device of one type of board; the kernel gives it back if its holder dies."""

    def __init__(self, board: str, device: str) -> None:
        self._board = board
        self._device = device
        self._name = MachineWideName(f"board\0{board}\0{device}")

    def hold(self, task: str) -> None:
        """Take the device for that task. Raises BoardError, which names who holds it."""
        try:
            self._name.hold({"task": task, "pid": str(os.getpid()), "user": who_is_here().user})
        except NameTaken as taken:
            raise BoardError(
                self._board,
                f"device {self._device!r} is held by {_words(taken)}",
                "wait for that run to end, end it with `dtopipe stop`, or name another device in board.device",
            ) from None
        except OSError as error:
            raise BoardError(
                self._board,
                f"device {self._device!r} cannot be locked: {error.strerror or error}",
                "is the name right?",
            ) from error

    def let_go(self) -> None:
        """Give the device back; harmless when it is not held."""
        self._name.let_go()


def _words(taken: NameTaken) -> str:
    """The holder in words: what it says of itself only as far as the system does not know better."""
    task, pid = taken.holder.get("task", ""), str(taken.pid or taken.holder.get("pid", ""))
    user = ("" if taken.user_id is None else user_name(taken.user_id)) or taken.holder.get("user", "")
    words = f"run {shown(task)!r}" if task else "another process"
    who = [f"process {shown(pid)}"] if pid else []
    if user and user != who_is_here().user:
        who.append(f"of {shown(user)}")
    return f"{words} ({' '.join(who)})" if who else words
