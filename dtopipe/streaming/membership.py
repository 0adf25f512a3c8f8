"""A program's place among those who follow a run: asked for, shown to be alive, given back."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

from dtopipe.host.life_locks import LifeLocks
from dtopipe.host.run_folder import find_living_run
from dtopipe.host.run_life import ensure_reached, reached
from dtopipe.host.run_lock import run_lock_is_held
from dtopipe.model.errors import UsageError
from dtopipe.model.policy import Policy
from dtopipe.transport.link import Keys
from dtopipe.transport.run_link import answer_of, control_of
from dtopipe.wire.commands import NotYet, Subscribe, Subscribed, Unsubscribe


class Membership:
    """One subscription as the run's supervisor knows it. Its OS lock goes with this process, however it ends."""

    def __init__(self, run: str | os.PathLike[str] | None, run_dir: Path) -> None:
        """`run` as in the commands. Raises UsageError if there is no such run in progress."""
        wanted = None if run is None else os.fspath(run)
        self.folder = find_living_run(wanted, run_dir)
        facts = reached(self.folder)
        if facts is None:
            ensure_reached(self.folder, "status")
            raise self._is_over()
        self._life = LifeLocks(self.folder.path)
        self.keys = Keys(facts.public_key, facts.secret_key)
        self._key = secrets.token_hex(8)
        self._lock = self._life.subscriber_lock(self._key)
        try:
            self._lock.acquire()
        except FileNotFoundError:
            raise self._is_over() from None
        self._control = control_of(facts)
        self._has_place = False

    def ask(self, policy: Policy, since: str | int) -> Subscribed | None:
        """`subscribed`, or None while the run has not begun. Raises UsageError with the reason for a refusal."""
        if not self._supervisor_is_alive():
            raise self._is_over()
        program = Path(sys.argv[0] if sys.argv else "").name or "python"
        # From now on the supervisor may have it, whatever becomes of the answer.
        self._has_place = True
        answer = self._control.ask(Subscribe(self._key, policy, since, os.getpid(), program))
        self._has_place = isinstance(answer, Subscribed)
        return None if isinstance(answer, NotYet) else answer_of(answer, Subscribed)

    def run_is_alive(self) -> bool:
        """False once neither supervisor nor acquirer lives: nothing more will come."""
        try:
            return run_lock_is_held(self.folder.path) or self._life.is_alive("acquirer")
        except OSError:
            # Its disk is away: who cannot see does not say that it has died.
            return True

    def leave(self) -> None:
        """Give the place back: nothing is written to its row any more. Harmless twice."""
        if not self._lock.held:
            return
        if self._has_place:
            self._control.send(Unsubscribe(self._key))
        self._control.close()
        self._lock.release()
        if not self._has_place:
            self._life.forget_subscriber(self._key)

    def _supervisor_is_alive(self) -> bool:
        try:
            return run_lock_is_held(self.folder.path)
        except OSError:
            return True

    def _is_over(self) -> UsageError:
        return UsageError(
            f"the run {self.folder.path.parent.name}/{self.folder.path.name} is not in progress",
            f"its outputs are in {self.folder.path}",
        )
