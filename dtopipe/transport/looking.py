"""A look at the run of another machine, which leaves no mark on it."""

from __future__ import annotations

import time
from pathlib import Path

from dtopipe.core.link import FollowingEnd, Step
from dtopipe.host.clock import mono_ns
from dtopipe.model.clock import iso_utc
from dtopipe.model.errors import DtopipeError, WireError
from dtopipe.transport.source_link import SourceLink
from dtopipe.wire.control import decode
from dtopipe.wire.link_items import NO_VERSION, PROTOCOL_VERSION
from dtopipe.wire.link_messages import (
    SEEN,
    TO_REMOTE,
    GatewayAnswers,
    LinkRefused,
    Look,
    PullOfAnyVersion,
    RunSeen,
    ServedNoLonger,
    StatusFollows,
)
from dtopipe.wire.shape import ensure_modest

_TURN_S = 0.05
# A gateway that knows what a look is has said something by then.
_IS_OLD_AFTER_NS = 1_500_000_000
_SILENT = "nobody answers there"
_SAME_VERSION = "install the same version of dtopipe on both"


class LookingLink:
    """Asks how the run is that is served at an endpoint, again and again; one thread uses it.

    `trouble`: why nothing comes, and since when; empty while something does. `is_over`: the run was there, and is over.
    """

    def __init__(self, endpoint: str, server_key: Path | None) -> None:
        """`server_key`: that machine's .pub file; None: without keys. Raises DtopipeError where it cannot be tried."""
        self._endpoint = endpoint
        self._link = SourceLink(endpoint, server_key)
        self._end = FollowingEnd()
        self._asked_ns = 0
        self._waits = self._has_answered = self._has_probed = self._is_told_to_wait = False
        self.is_over = False
        self.trouble = self._why = ""
        self._begin()

    def look(self, timeout_s: float) -> RunSeen | None:
        """The run as it is by now; None if nobody has answered in that time, or it is over.

        The other end answers once a second at most. Raises DtopipeError, with the way out, where it never will.
        """
        until_s = time.monotonic() + timeout_s
        if not self._waits:
            self._ask()
        while not self.is_over:
            seen = self._heard(min(_TURN_S, max(0.0, until_s - time.monotonic())))
            if seen is not None:
                self._waits, self._has_answered, self.trouble = False, True, ""
                return seen
            self._look_after()
            if time.monotonic() >= until_s:
                break
        return None

    def first(self, timeout_s: float) -> RunSeen:
        """The run as it is; the first one that is asked for. Raises DtopipeError if there is none in that time."""
        seen = self.look(timeout_s)
        if seen is not None:
            return seen
        if self.is_over:
            raise DtopipeError(f"{self._endpoint}: the run there is over", "there: dtopipe status tells how it ended")
        raise DtopipeError(
            f"{self._endpoint}: {self._why or _SILENT}",
            "is a run in progress there whose topology has listen: with that port, and no firewall between?",
        )

    def close(self) -> None:
        """Harmless twice; the other end need not be told."""
        self._link.close()

    def _begin(self) -> None:
        self._link.renew()
        self._end.renew(mono_ns())
        self._ask()

    def _ask(self) -> None:
        self._asked_ns = mono_ns()
        self._waits, self._has_probed, self._is_told_to_wait = True, False, False
        self._link.send(Look(self._end.ask(self._asked_ns), PROTOCOL_VERSION))

    def _heard(self, timeout_s: float) -> RunSeen | None:
        """What comes next, if it is how the run is. Raises DtopipeError where there will be nothing."""
        try:
            received = self._link.receive(timeout_s)
            message = None if received is None else TO_REMOTE.read(received[0])
            if isinstance(message, ServedNoLonger):
                # Whatever was asked for last: it may not have been heard any more.
                self.is_over = True
                return None
            if received is None or message is None or not self._end.hears(message.session, mono_ns()):
                return None
            return self._followed(message, received[1])
        except WireError as error:
            if self._end.spoilt():
                raise self._not_understood(error) from error
            self._begin()
            return None

    def _followed(self, message: GatewayAnswers, payload: memoryview) -> RunSeen | None:
        """Raises WireError for a payload that is none, DtopipeError where the other end refuses."""
        if isinstance(message, StatusFollows):
            document = bytes(payload)
            ensure_modest(document)
            seen = SEEN.read(decode(document))
            if seen is None:
                raise WireError("an answer that tells of no run")
            # It was sound.
            self._end.came(0)
            return seen
        if isinstance(message, LinkRefused):
            self._was_refused(message)
        return None

    def _was_refused(self, message: LinkRefused) -> None:
        """Wait where that helps. Raises DtopipeError where it does not."""
        if self._has_probed and not self._has_answered:
            raise DtopipeError(
                f"{self._endpoint}: the dtopipe there is too old to be looked at from another machine",
                f"{_SAME_VERSION}; or there: dtopipe top",
            )
        if message.is_final:
            raise DtopipeError(f"{self._endpoint}: {message.message}", message.remedy)
        self._stands(message.message)
        self._is_told_to_wait = True

    def _look_after(self) -> None:
        """Begin anew where the link is broken, or the other end silent. Raises DtopipeError where that is for good."""
        refusal = self._link.refusal(was_linked=self._has_answered)
        if refusal is not None:
            raise DtopipeError(f"{self._endpoint}: {refusal[0]}", refusal[1])
        now_ns = mono_ns()
        is_silent = self._end.heard_ns <= self._asked_ns and now_ns - self._asked_ns > _IS_OLD_AFTER_NS
        if is_silent and self._link.is_connected and not (self._has_answered or self._has_probed):
            self._has_probed = True
            self._link.send(PullOfAnyVersion(self._end.session, "", NO_VERSION))
        step = self._end.next_step(
            now_ns,
            is_connected=self._link.is_connected,
            was_cut=self._link.was_cut,
            is_told_to_wait=self._is_told_to_wait,
        )
        if step is Step.ASK:
            self._ask()
        elif step is not Step.WAIT:
            self._stands("the connection was cut" if step is Step.RENEW_CUT else _SILENT)
            self._begin()

    def _stands(self, why: str) -> None:
        self._why = why
        if not self.trouble:
            self.trouble = f"{self._endpoint}: {why}, since {iso_utc(time.time_ns())[11:19]} UTC"

    def _not_understood(self, error: WireError) -> DtopipeError:
        return DtopipeError(f"{self._endpoint} does not speak as it should: {error}", _SAME_VERSION)
