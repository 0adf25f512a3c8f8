"""A link to the machine that samples come from, by the user's own key, and in words why there is none."""

from __future__ import annotations

from pathlib import Path

from dtopipe.model.errors import UsageError
from dtopipe.transport.key_folder import KeyFolder, keys_dir, read_public_file
from dtopipe.transport.link_failure import GUESSED, refusal_of
from dtopipe.transport.stream_client import StreamClient


class SourceLink(StreamClient):
    """`server_key`: that machine's .pub file; None: without keys. Raises DtopipeError where it cannot even be tried."""

    def __init__(self, endpoint: str, server_key: Path | None) -> None:
        self._own_pair = None if server_key is None else KeyFolder(keys_dir()).own()
        super().__init__(endpoint, self._own_pair, None if server_key is None else read_public_file(server_key))
        try:
            self.ensure_resolved()
        except BaseException:
            self.close()
            raise

    def refusal(self, *, was_linked: bool = False) -> tuple[str, str] | None:
        """(what is wrong, the way out), if the other end will never take us as we are.

        `was_linked`: it took us before; then only what it says itself is one, for handshakes that fail for no reason
        that is told are those of a cable that is out again.
        """
        if was_linked and self.failure in GUESSED:
            return None
        return refusal_of(self.failure, self._own_pair.public if self._own_pair else None)


def is_endpoint(text: str) -> bool:
    """True for what names another machine, and no run of this one."""
    return "://" in text


def server_key_of(endpoint: str, given: Path | None, *, insecure: bool) -> Path | None:
    """The .pub file of the machine at this endpoint; None where both sides do without keys. Raises UsageError.

    `given`, or else the authorized key that has the name of its host, or else the only one that is authorized here.
    """
    if insecure:
        if given is not None:
            raise UsageError("a server key is not looked at where the link is insecure", "take one of the two out")
        return None
    if given is not None:
        return given.absolute()
    host = endpoint.partition("://")[2].rpartition(":")[0].strip("[]").lower()
    authorized = [known for known in KeyFolder(keys_dir()).authorized() if known.public is not None]
    of_host = [known for known in authorized if known.name.lower() in (host, host.partition(".")[0])]
    chosen = of_host or (authorized if len(authorized) == 1 else [])
    if chosen:
        return chosen[0].path
    raise UsageError(
        f"the key of {endpoint} is not known here: nobody could tell whose samples these are",
        f"there: dtopipe keys show; here: dtopipe keys authorize that file, as --name {host}, or name it as the"
        " server key; or do without keys on both sides: insecure",
    )
