"""Speaking with a run in progress."""

from __future__ import annotations

from dtopipe.host.run_folder import RunFolder
from dtopipe.host.run_life import reached
from dtopipe.host.runtime import EntryFacts
from dtopipe.model.errors import UsageError
from dtopipe.transport.control import ControlClient
from dtopipe.transport.link import Keys, is_reached
from dtopipe.wire.control import Message


def ensure_not_refused(answer: Message) -> None:
    """Raises UsageError with the run's reason and the way out, if that is its answer."""
    if answer.kind == "refused":
        remedy = answer.get("remedy", str, "")
        raise UsageError(answer.get("message", str) + (f"\n    {remedy}" if remedy else ""))


def control_of(facts: EntryFacts) -> ControlClient:
    """The line to the supervisor of a run in progress."""
    endpoint = facts.control
    if facts.other_control and not is_reached(endpoint):
        endpoint = facts.other_control
    return ControlClient(endpoint, Keys(facts.public_key, facts.secret_key))


def ask_run(folder: RunFolder, message: Message) -> Message | None:
    """What the run's supervisor answers; None if the run has none, or none that is reached from here.

    Raises DtopipeError if it does not answer.
    """
    facts = reached(folder)
    if facts is None:
        return None
    client = control_of(facts)
    try:
        return client.ask(message)
    finally:
        client.close()
