"""Speaking with a run in progress."""

from __future__ import annotations

from dtopipe.host.run_folder import RunFolder
from dtopipe.transport.control import ControlClient
from dtopipe.transport.link import Keys
from dtopipe.wire.control import Message


def ask_run(folder: RunFolder, message: Message) -> Message | None:
    """What the run's supervisor answers; None if the run has none. Raises DtopipeError if it does not answer."""
    entry = folder.entry()
    facts = entry.read() if entry and entry.supervisor_is_alive() else None
    if facts is None:
        return None
    client = ControlClient(facts.control, Keys(facts.public_key, facts.secret_key))
    try:
        return client.ask(message)
    finally:
        client.close()
