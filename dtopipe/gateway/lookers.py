"""Who looks at a run from another machine: all are answered at once, once a second, and then forgotten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dtopipe.core.link import SPEAK_EVERY_NS
from dtopipe.host.clock import mono_ns
from dtopipe.model.errors import WireError
from dtopipe.transport.stream_server import Request, StreamServer
from dtopipe.wire.control import encode
from dtopipe.wire.link_items import PROTOCOL_VERSION
from dtopipe.wire.link_messages import Alive, LinkRefused, Look, RunSeen, ServedNoLonger, StatusFollows

_ANSWER_EVERY_NS = 1_000_000_000
# A supervisor that has much to do answers later than that only if something is wrong with it.
_PATIENCE_NS = 5_000_000_000
_MOST_WAITING = 64
# (what is wrong, the way out, whether that stays so), as of each refusal.
OTHER_VERSION = (
    f"it speaks version {PROTOCOL_VERSION} of the protocol", "install the same version of dtopipe on both", True,
)  # fmt: skip
_OVER = "the run that it serves is over", "there: dtopipe status RUN; here its samples: dtopipe attach", True
_BUSY = f"{_MOST_WAITING} others look at it already", "", False
_LOOK_THERE = "there: dtopipe top"
_SILENT = "the supervisor of the run does not answer there", "", False


@dataclass(slots=True)
class _Waiting:
    session: int
    key: bytes
    # When it was told that we are here.
    said_ns: int


class Lookers:
    """`ask` asks for what `show` is then given. One thread uses it; it costs nothing while nobody looks.

    However many look, and however often they ask, the run is asked once a second for all of them.
    """

    def __init__(
        self,
        server: StreamServer,
        ask: Callable[[], None] | None,
        refusal_of_key: Callable[[bytes], tuple[str, str, bool] | None],
    ) -> None:
        """`ask`: None where nobody can tell how the run is. `refusal_of_key`: None for one that may be told."""
        self._server = server
        self._ask = ask
        self._refusal_of_key = refusal_of_key
        self._waiting: dict[bytes, _Waiting] = {}
        # Who was answered last: they may be about to ask again.
        self._answered: dict[bytes, int] = {}
        self._asked_ns: int | None = None
        self._answered_ns: int | None = None

    def hear(self, request: Request, message: Look) -> None:
        """Somebody looks; whoever asks again before the answer waits once."""
        refusal = self._refusal_of_key(request.key)
        if refusal is None and message.version != PROTOCOL_VERSION:
            refusal = OTHER_VERSION
        elif refusal is None and self._ask is None:
            refusal = _OVER
        elif refusal is None and request.address not in self._waiting and len(self._waiting) >= _MOST_WAITING:
            refusal = _BUSY
        if refusal is not None:
            self._server.send(request.address, LinkRefused(message.session, *refusal))
            return
        self._waiting[request.address] = _Waiting(message.session, request.key, mono_ns())

    def look(self, now_ns: int) -> None:
        """One turn: the run is asked, where somebody waits and it is time; who waits hears that we are here."""
        if not self._waiting or self._ask is None:
            if self._answered_ns is not None and now_ns - self._answered_ns > _PATIENCE_NS:
                self._answered.clear()
            return
        if self._asked_ns is None:
            if self._answered_ns is None or now_ns - self._answered_ns >= _ANSWER_EVERY_NS:
                self._asked_ns = now_ns
                self._ask()
        elif now_ns - self._asked_ns > _PATIENCE_NS:
            self._asked_ns = None
            for address, each in self._taken():
                self._server.send(address, LinkRefused(each.session, *_SILENT))
        for address, each in self._waiting.items():
            if now_ns - each.said_ns > SPEAK_EVERY_NS:
                each.said_ns = now_ns
                self._server.send(address, Alive(each.session))

    def show(self, seen: RunSeen, now_ns: int) -> None:
        """That is how the run is: everybody who waits for it is told. Who is gone meanwhile is not missed."""
        self._asked_ns, self._answered_ns = None, now_ns
        try:
            payload = encode(seen)
        except WireError as error:
            for address, each in self._taken():
                self._server.send(address, LinkRefused(each.session, str(error), _LOOK_THERE, is_final=True))
            return
        self._answered.clear()
        for address, each in self._taken():
            if self._refusal_of_key(each.key) is None:
                self._server.send(address, StatusFollows(each.session), payload)
                self._answered[address] = each.session

    def part(self) -> None:
        """Nothing is served any longer: whoever waits is told, and who was answered last."""
        waiting = {address: each.session for address, each in self._taken()}
        for address, session in (self._answered | waiting).items():
            self._server.send(address, ServedNoLonger(session))

    def _taken(self) -> list[tuple[bytes, _Waiting]]:
        waiting, self._waiting = self._waiting, {}
        return list(waiting.items())
