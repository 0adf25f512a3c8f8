"""Calibrations and virtual channels on their way: descriptions of streams, and headers of raw files."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgpack
import pytest

from dtopipe.model.calibration_part import calibration_from
from dtopipe.model.errors import WireError
from dtopipe.model.stream import VIRTUAL, Channel, Stream
from dtopipe.wire.describe import describe_stream, stream_from
from dtopipe.wire.dtraw_headers import FileHeader, file_document, file_header_from

FACTS = {"thermocouple": "K", "cjc": "cj", "unit": "degC", "id": "TC-17", "input_unit": "V"}
TC = Channel("tc", "degC", scale=1e-6, calibration=calibration_from(FACTS, "tc"))
CJ = Channel("cj", "degC", scale=1e-6)
POWER = Channel("power", "W", VIRTUAL, formula="tc * k", constants={"k": 2.0})
STREAM = Stream("run-1", "heat", "simulated", (TC, CJ), "int16", 1000.0, 100, "2026-11-23T09:00:00Z", virtual=(POWER,))


@pytest.mark.parametrize("way", [lambda it: json.loads(json.dumps(it)), lambda it: msgpack.unpackb(msgpack.packb(it))])
def test_a_stream_comes_back_out_of_its_description(way: Any) -> None:
    assert stream_from(way(describe_stream(STREAM))) == STREAM


def test_what_earlier_versions_wrote_has_none() -> None:
    described = describe_stream(STREAM)
    del described["virtual"]
    for channel in described["channels"]:
        channel.pop("calibration", None)
    found = stream_from(described)
    assert found.virtual == ()
    assert [channel.calibration for channel in found.channels] == [None, None]


def test_a_header_comes_back_out_of_its_document() -> None:
    header = FileHeader.of(STREAM)
    found = file_header_from(json.loads(json.dumps(file_document(header))))
    assert (found.channels, found.virtual) == (header.channels, header.virtual)


def test_a_header_without_kinds_tells_codes_from_measured_values() -> None:
    channels = (Channel("codes", kind="raw"), Channel("measured", "V", scale=1e-3), Channel("counted", "rpm"))
    stream = replace(STREAM, channels=channels, virtual=())
    found = file_header_from(file_document(FileHeader.of(stream)))
    assert [channel.is_raw for channel in found.channels] == [True, False, False]


def _spoilt(of: dict[str, Any], spoil: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(of))
    spoil(copy)
    return copy


@pytest.mark.parametrize(
    "spoil",
    [
        lambda it: it["channels"][0].update(calibration=3),
        lambda it: it["channels"][0]["calibration"].update(thermocouple="Q"),
        lambda it: it["channels"][0]["calibration"].update(input_unit=3),
        lambda it: it["channels"][0]["calibration"].pop("cjc"),
    ],
)
def test_a_calibration_that_is_none_is_damage(spoil: Any) -> None:
    with pytest.raises(WireError):
        stream_from(_spoilt(describe_stream(STREAM), spoil))
    with pytest.raises(WireError):
        file_header_from(_spoilt(file_document(FileHeader.of(STREAM)), spoil))


@pytest.mark.parametrize(
    "virtual",
    [3, [3], [{}], [{"name": "a"}], [{"name": "a", "formula": 3}], [{"name": "a", "formula": "b", "with": 3}]],
)
def test_a_virtual_channel_that_is_none_is_damage(virtual: Any) -> None:
    with pytest.raises(WireError):
        file_header_from({**file_document(FileHeader.of(STREAM)), "virtual_channels": virtual})


def test_a_number_in_a_formula_is_a_number() -> None:
    for constants in ({"k": "3"}, {"k": None}, [3], {"k": True}):
        with pytest.raises(WireError):
            stream_from(
                _spoilt(describe_stream(STREAM), lambda it, of=constants: it["virtual"][0].update(constants=of))
            )
