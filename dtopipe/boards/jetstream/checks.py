"""What a topology says of the NATS servers whose run it follows."""

from __future__ import annotations

from importlib.util import find_spec

from dtopipe.broker.address import BrokerOptionError, address_of
from dtopipe.model.plan import BoardPlan
from dtopipe.model.sink_types import Found


def check_server(board: BoardPlan) -> Found:
    """Problems with a board that is a stream of NATS servers."""
    if find_spec("nats") is None:
        remedy = 'pip install "dtopipe[nats]"'
        yield "board.type", f"a {board.type} board needs nats-py, which is not installed", remedy
    try:
        address = address_of(board.options)
    except BrokerOptionError as error:
        yield f"board.{error.option}", error.message, error.remedy
        return
    for option, path in address.files().items():
        if not path.is_absolute():
            yield f"board.{option}", f"{path} is no absolute path", "write it from / or ~ on"
