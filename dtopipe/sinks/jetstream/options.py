"""What a sink of JetStream can be told in a topology."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from dtopipe.broker.address import BrokerOptionError, address_of
from dtopipe.model.parts import PathText, SinkPart
from dtopipe.model.quantities import Bytes, PlainSeconds


class JetStreamOptions(SinkPart):
    """Messages in a stream of NATS servers (JetStream); needs the extra `nats`."""

    endpoint: str | None = Field(
        default=None, description="nats://host:4222, or several of a cluster with commas; tls:// for encryption."
    )
    stream: str = Field(default="dtopipe", description="The stream's name; made for dtopipe.> where it is not there.")
    run_name: str | None = Field(
        default=None, description="The subject is dtopipe.RUN_NAME.DEVICE; default: the topology's name."
    )
    user: str | None = Field(default=None, description="Who writes.")
    password: str | None = Field(
        default=None, description="Of the user, such as ${NATS_PASSWORD}; records never hold it."
    )
    token: str | None = Field(default=None, description="Instead of a user, such as ${NATS_TOKEN}.")
    credentials: PathText | None = Field(default=None, description="A .creds file instead of a user.")
    nkey: PathText | None = Field(default=None, description="A file with the seed of an NKey instead of a user.")
    ca: PathText | None = Field(default=None, description="Certificate of the authority that signed the server's.")
    certificate: PathText | None = Field(default=None, description="Our own certificate, for servers that want one.")
    key: PathText | None = Field(default=None, description="The certificate's key.")
    timeout_s: float = Field(default=5.0, gt=0, description="How long an answer of the server is waited for.")
    create: bool = Field(default=True, description="Make the stream where it is not there; false: it has to be.")
    storage: Literal["file", "memory"] | None = Field(default=None, description="Of the stream; default: file.")
    replicas: int | None = Field(default=None, ge=1, le=5, description="Servers that keep each message; default: 1.")
    max_bytes: Bytes | None = Field(default=None, description="What the stream holds at most; default: no limit.")
    max_age: PlainSeconds | None = Field(default=None, description="How long it keeps a message; default: for ever.")
    discard: Literal["old", "new"] | None = Field(
        default=None,
        description="What a full stream does: old: the oldest goes, read or not; new: this sink waits. Default: old.",
    )
    duplicate_window: PlainSeconds | None = Field(
        default=None, description="How long the server knows a message again; default: 2min."
    )
    window_messages: int = Field(default=256, ge=1, le=65536, description="Most messages that are not acknowledged.")
    window_bytes: Bytes = Field(default=16 * 2**20, description="Most bytes of them.")
    server_sync_s: float = Field(
        default=120.0,
        ge=0,
        description=(
            "The servers' own sync_interval: what they acknowledged so long ago counts as durable. 0: they sync before "
            "they acknowledge (sync_interval: always)."
        ),
    )

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        if self.path is not None:
            raise ValueError("a jetstream sink has no path: give it an endpoint")
        try:
            address = address_of(self.model_dump())
        except BrokerOptionError as error:
            # Of the pydantic error nothing else is shown: what was given may hold a password.
            raise ValueError(f"{error.message}: {error.remedy}") from None
        for option, path in address.files().items():
            if not path.is_absolute():
                raise ValueError(f"{option} is no absolute path: write it from / or ~ on")
        return self
