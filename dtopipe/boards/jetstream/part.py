"""What a topology may say of a board that is a stream of NATS servers."""

from __future__ import annotations

from pydantic import Field

from dtopipe.model.parts import BoardPart, PathText
from dtopipe.model.quantities import FollowedRuns, Start


class JetStreamBoardOptions(BoardPart):
    """A run that another topology's sink publishes to NATS servers (JetStream); needs the extra `nats`."""

    endpoint: str = Field(description="nats://host:4222, or several of a cluster with commas; tls:// for encryption.")
    stream: str = Field(default="dtopipe", description="The stream's name.")
    run_name: str | None = Field(
        default=None, description="The name of the runs that are followed, as in dtopipe.RUN_NAME.DEVICE; default: any."
    )
    device: str | None = Field(default=None, description="The device, as in dtopipe.RUN_NAME.DEVICE; default: any.")
    durable: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description=(
            "A name under which the servers keep how far we are: the next `up` goes on there, and several with one "
            "name share the devices. Default: each run here begins at `start`."
        ),
    )
    runs: FollowedRuns = Field(
        default="next",
        description=(
            "next: the run in progress there, else the next one; every: one after the other; or the run_id of one run."
        ),
    )
    start: Start = Field(
        default="earliest",
        description=(
            "earliest: all that the stream has of the run; latest: from now on; or a sample index. Of a durable name "
            "that is known there it is where that one stopped."
        ),
    )
    user: str | None = Field(default=None, description="Who reads.")
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
