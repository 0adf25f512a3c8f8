"""A run of another machine as somebody sees it here who leaves no mark on it."""

from __future__ import annotations

import contextlib
import io
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.text import Text

from dtopipe.cli.channel_lines import ChannelLines
from dtopipe.cli.endpoint import ensure_endpoint
from dtopipe.cli.live_view import LiveView
from dtopipe.model.errors import DtopipeError
from dtopipe.model.shown import shown
from dtopipe.transport.looking import LookingLink
from dtopipe.transport.source_link import server_key_of
from dtopipe.wire.link_messages import RunSeen

# A name is looked up, a handshake made, and a busy machine comes to it.
_PATIENCE_S = 10.0


class OnlookerThere:
    """As `OnlookerHere`, of the run that is served at an endpoint."""

    def __init__(self, endpoint: str, server_key: Path | None, *, insecure: bool) -> None:
        """Raises UsageError for an endpoint that is none, and where its key is not known."""
        ensure_endpoint(endpoint)
        self._endpoint = endpoint
        self._link = LookingLink(endpoint, server_key_of(endpoint, server_key, insecure=insecure))
        self._run = ""

    @property
    def is_over(self) -> bool:
        """True once the run is over."""
        return self._link.is_over

    @property
    def trouble(self) -> str:
        """Why nothing new comes, and since when."""
        return self._link.trouble

    @property
    def whereabouts(self) -> str:
        """The endpoint, and that commands are typed there."""
        return f"at {self._endpoint}: what is to be typed is typed there"

    def first(self) -> RunSeen:
        """The run as it is. Raises DtopipeError where nobody tells."""
        return self._sound(self._link.first(_PATIENCE_S))

    def look(self, timeout_s: float) -> RunSeen | None:
        """As often as the other end tells. Raises DtopipeError where it never will again."""
        seen = self._link.look(timeout_s)
        return None if seen is None else self._sound(seen)

    def last_words(self) -> Text:
        """That it is over, and where it says how."""
        return Text(shown(f"{self._run} is over; how it ended, there: dtopipe status {shlex.quote(self._run)}"))

    def close(self) -> None:
        """Harmless twice."""
        self._link.close()

    def _sound(self, seen: RunSeen) -> RunSeen:
        """Raises DtopipeError for what nobody here could show."""
        with _told_as_here(self._endpoint):
            view = LiveView(dict(seen.status), ChannelLines(), seen.values, seen.event)
            Console(file=io.StringIO()).print(Group(*view.whole()))
            self._run = f"{seen.status['name']}/{Path(seen.status['folder']).name}"
        return seen


@contextlib.contextmanager
def status_there(endpoint: str, server_key: Path | None, *, insecure: bool) -> Iterator[dict[str, Any]]:
    """One look at the status of the run that is served there, to be shown in the block. Raises DtopipeError."""
    onlooker = OnlookerThere(endpoint, server_key, insecure=insecure)
    with contextlib.closing(onlooker), _told_as_here(endpoint):
        yield dict(onlooker.first().status)


@contextlib.contextmanager
def _told_as_here(endpoint: str) -> Iterator[None]:
    """What comes from another machine may be anything. Raises DtopipeError where it cannot be shown as it is here."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise DtopipeError(
            f"{endpoint}: the dtopipe there tells of its run in another way than this one",
            "install the same version of dtopipe on both",
        ) from error
