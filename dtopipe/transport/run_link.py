"""Speaking with a run in progress."""

from __future__ import annotations

from dtopipe.host.run_folder import RunFolder
from dtopipe.model.errors import UsageError
from dtopipe.transport.control import ControlClient
from dtopipe.transport.link import Keys
from dtopipe.wire.control import Message


def ensure_not_refused(answer: Message) -> None:
    """Raises UsageError with the run's reason and the way out, if that is its answer."""
    if answer.kind == "refused":
        remedy = answer.get("remedy", str, "")
        raise UsageError(answer.get("message", str) + (f"\n    {remedy}" if remedy else ""))


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
