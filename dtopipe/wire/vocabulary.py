"""The messages that one end of a link understands, found by their kinds."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, get_args

from dtopipe.model.errors import WireError
from dtopipe.wire.control import Message
from dtopipe.wire.message_fields import TypedMessage, read_body

M = TypeVar("M", covariant=True)


class Vocabulary(Generic[M]):
    """Made of a union of message types, or of one."""

    def __init__(self, messages: Any) -> None:
        self.messages: tuple[type[TypedMessage], ...] = get_args(messages) or (messages,)
        self._of_kind = {message.kind: message for message in self.messages}

    def __contains__(self, kind: str) -> bool:
        return kind in self._of_kind

    def read(self, message: Message) -> M | None:
        """What was said, or None if its kind is none of these. Raises WireError for keys that do not fit."""
        wanted = self._of_kind.get(message.kind)
        if wanted is None:
            return None
        try:
            found: M = read_body(wanted, message.body)
        except WireError as error:
            raise WireError(f"message {message.kind!r}: {error}") from error
        return found
