"""Calibrations and formulas in a topology: what they become, and each mistake by its place."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from dtopipe.model.errors import TopologyError
from dtopipe.model.plan import RunPlan
from dtopipe.model.planned_channels import calibrated, virtual_channels
from dtopipe.model.stream import VIRTUAL, Channel
from dtopipe.topology.load import load_plan

HEAD = "board: {type: simulated}\nsinks: {t: {type: csv, path: t.csv}}\ntask:\n  rate_hz: 10\n  channels:\n"
CJ = "{name: cj, calibration: {rtd: pt100, excitation: 1e-3}}"


def plan_of(tmp_path: Path, *channels: str, head: str = HEAD) -> RunPlan:
    file = tmp_path / "t.yaml"
    file.write_text(head + "".join(f"    - {channel}\n" for channel in channels))
    return load_plan(file, environ={}, rehearsal=True)


def problems(tmp_path: Path, *channels: str, head: str = HEAD) -> list[str]:
    with pytest.raises(TopologyError) as raised:
        plan_of(tmp_path, *channels, head=head)
    return [str(problem).removeprefix(f"{tmp_path / 't.yaml'}:") for problem in raised.value.problems]


def test_what_a_topology_says_of_channels_is_put_to_what_the_board_says(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        "{name: power, formula: flux * k, with: {k: 2}, unit: W}",
        "{name: flux}",
        "{name: tc, range: [-0.1, 0.1], calibration: {thermocouple: K, cjc: cj, id: a, valid_until: 2999-01-01}}",
        CJ,
    )
    task = plan.board.task
    assert task is not None
    # A virtual channel takes no input.
    assert [(channel.name, channel.physical_channel) for channel in task.channels] == [
        ("flux", 0),
        ("tc", 1),
        ("cj", 2),
    ]
    assert virtual_channels(task) == (Channel("power", "W", VIRTUAL, formula="flux * k", constants={"k": 2.0}),)
    opened = [Channel("flux", "V"), Channel("tc", "V", scale=2.0), Channel("cj", "V")]
    flux, tc, cj = calibrated(opened, task)
    assert flux == opened[0]
    assert (tc.unit, tc.scale, cj.unit) == ("degC", 2.0, "degC")
    assert tc.calibration is not None
    assert tc.calibration.facts() == {
        "thermocouple": "K", "cjc": "cj", "unit": "degC", "id": "a", "valid_until": "2999-01-01", "input_unit": "V",
    }  # fmt: skip
    assert plan.warnings == ()


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        (
            "{}",
            "7:33: task.channels[1].calibration: exactly one of linear, polynomial, points, thermocouple, rtd, bridge",
        ),
        ("{linear: {scale: 1}, rtd: pt100, unit: K, excitation: 1}", ".calibration: exactly one of"),
        ("{thermocouple: k, cjc: 0}", ".thermocouple: must be one of B, E, J, K, N, R, S, T, not 'k'"),
        ("{thermocouple: K}", ".calibration: a thermocouple needs cjc"),
        ("{thermocouple: K, cjc: cjj}", ".cjc: there is no channel 'cjj'\n    did you mean cj?"),
        ("{thermocouple: K, cjc: flux}", ".cjc: flux is in 'V', and a cold junction has a temperature"),
        ("{thermocouple: K, cjc: a}", ".cjc: each of these needs the next one: a -> a"),
        ("{thermocouple: K, cjc: 4000}", ".cjc: 4000 degC is beyond type K\n    from -270 to 1372 degC"),
        ("{thermocouple: K, cjc: .nan}", ".cjc: must be a finite number"),
        ("{thermocouple: K, cjc: 0, unit: degc}", "cannot be in 'degc'\n    did you mean degC?"),
        ("{thermocouple: K, cjc: 0, unit: C}", "\n    did you mean degC?"),
        ("{rtd: pt1001, excitation: 1}", ".rtd: must be one of pt100, pt200, pt500, pt1000"),
        ("{rtd: pt100}", ".calibration: an rtd needs excitation"),
        ("{rtd: pt100, excitation: 0}", ".excitation: must be a number above 0"),
        ("{rtd: pt100, excitation: 1, cjc: 3}", ".cjc: belongs to thermocouple, not to rtd"),
        ("{bridge: half, excitation: 1}", ".calibration: a bridge needs gauge_factor"),
        ("{bridge: half, excitation: 1, gauge_factor: 0}", ".gauge_factor: must not be 0"),
        ("{linear: {scale: 0}, unit: bar}", ".linear.scale: must not be 0"),
        ("{linear: {scale: 2}}", ".calibration: a calibration by linear needs the unit of its values"),
        ("{linear: {scael: 2}, unit: bar}", ".linear.scael: unknown key\n    did you mean scale?"),
        ("{polynomial: [], unit: bar}", ".polynomial: must not be empty"),
        ("{polynomial: [1, .inf], unit: bar}", ".polynomial[1]: must be a finite number, not inf"),
        ("{points: [[0, 1]], unit: bar}", ".points: needs two points or more, not 1"),
        ("{points: [[0, 1], [2, 3], [1, 4]], unit: bar}", ".points[2]: is out of order: 1 follows on 2"),
        ("{points: [[0, 1], [1, 3], [2, 2]], unit: bar}", ".points[2]: its value 2 follows on 3"),
        ("{points: [[0, 1], [1, 1]], unit: bar}", ".points[1]: its value 1 follows on 1"),
        ("{points: [[0, 1], [1, 3]], unit: bar, valid_until: soon}", ".valid_until: 'soon' is no date"),
        ("{points: [[0, 1], [1, 3]], unti: bar}", ".unti: unknown key\n    did you mean unit?"),
        ("3", ".calibration: must be a mapping, not 3"),
    ],
)
def test_each_mistake_of_a_calibration_is_told_with_its_place_and_the_way_out(
    tmp_path: Path, channel: str, said: str
) -> None:
    found = problems(tmp_path, "{name: flux}", f"{{name: a, range: [-1, 1], calibration: {channel}}}", CJ)
    assert any(said in text for text in found), found
    assert all(text.startswith("7:") for text in found)


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        ("formula: flux * aera, with: {area: 2}", ".formula: there is no channel 'aera'\n    did you mean area?"),
        ("formula: flux +", ".formula: is no formula"),
        ("formula: sine(flux)", ".formula: there is no function 'sine'\n    did you mean sin?"),
        ("formula: flux.real", ".formula: may not have 'flux.real'"),
        ("formula: a + 1", ".formula: each of these needs the next one: a -> a"),
        ("formula: flux, with: {flux: 1}", ".with.flux: 'flux' is a channel already"),
        ("formula: flux, with: {pi: 1}", ".with.pi: 'pi' cannot be the name of a number"),
        ("formula: flux * b, with: {b: .nan}", ".with.b: must be a finite number"),
        ("formula: flux, range: [0, 1]", ".range: belongs to an input"),
        ("formula: flux, kind: raw", ".kind: belongs to an input"),
        ("formula: flux, calibration: {rtd: pt100, excitation: 1}", ".calibration: belongs to an input"),
        ("formula: flux, waveform: sine", ".waveform: unknown key"),
        ("with: {area: 2}", ".with: gives numbers to a formula, and there is none"),
    ],
)
def test_each_mistake_of_a_formula_is_told_with_its_place_and_the_way_out(
    tmp_path: Path, channel: str, said: str
) -> None:
    found = problems(tmp_path, "{name: flux}", f"{{name: a, {channel}}}")
    assert any(said in text for text in found), found
    assert all(text.startswith("7:") for text in found)


def test_codes_are_no_volts(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "{name: a, kind: raw, calibration: {thermocouple: K, cjc: 3}}")
    assert ".thermocouple: a thermocouple is measured in volts, and kind: raw gives codes" in found
    (found,) = problems(tmp_path, "{name: a, unit: bar, calibration: {rtd: pt100, excitation: 1}}")
    assert ".rtd: an rtd is measured in volts, and this channel is in 'bar'" in found
    assert plan_of(tmp_path, "{name: a, kind: raw, calibration: {linear: {scale: 3}, unit: rpm}}").board.task


def test_all_mistakes_are_told_at_once_also_where_one_makes_a_channel_unreadable(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "{name: a, calibration: {thermocouple: Q, cjc: 3}}",
        "{name: b, calibration: {points: [[0, 1], [0, 2]], unit: bar, colour: red}}",
        "{name: c, formula: d + 1}",
        "{name: d, formula: c + 1}",
        "{name: e, calibration: {thermocouple: K, cjc: f}}",
        "{name: f, calibration: {thermocouple: K, cjc: e}}",
        head=HEAD.replace("{t: {", "{h: {type: hbuf, path: h, channels: [c, e]}, t: {channels: [z], "),
    )
    keys = [text.split(": ")[1] for text in found]
    assert sorted(keys) == sorted(
        [
            "sinks.h.channels[0]",
            "sinks.h.channels",
            "sinks.t.channels[0]",
            "task.channels[0].calibration.thermocouple",
            "task.channels[1].calibration.points[1]",
            "task.channels[1].calibration.colour",
            "task.channels[2].formula",
            "task.channels[4].calibration.cjc",
        ]
    )


def test_an_archive_of_some_channels_has_what_these_need(tmp_path: Path) -> None:
    head = HEAD.replace("{t: {", "{h: {type: hbuf, path: h, channels: [tc]}, t: {")
    tc = "{name: tc, range: [-1, 1], calibration: {thermocouple: K, cjc: cj}}"
    (found,) = problems(tmp_path, tc, CJ, head=head)
    assert "sinks.h.channels: tc means nothing without its cold junction 'cj'\n    add cj" in found
    assert plan_of(tmp_path, tc, CJ, head=head.replace("[tc]", "[tc, cj]")).sinks[0].channels == ("tc", "cj")


def test_a_journal_that_retires_its_codes_is_a_warning(tmp_path: Path) -> None:
    journal = "{j: {type: hbuf, path: j, segment: 1MiB, retention: {until: durable}}, t: {sync: 1s, "
    head = HEAD.replace("{t: {", journal)
    calibrated = "{name: a, calibration: {linear: {scale: 2}, unit: bar}}"
    (warning,) = plan_of(tmp_path, calibrated, "{name: b, formula: a * 2}", head=head).warnings
    assert (warning.key, "another calibration of a" in warning.message) == ("sinks.j.retention", True)
    assert plan_of(tmp_path, "{name: a}", head=head).warnings == ()
    beside = head.replace("{j: {", "{h: {type: hbuf, path: h, journal: false, sync: 1s}, j: {journal: true, ")
    assert plan_of(tmp_path, calibrated, head=beside).warnings == ()


def test_virtual_channels_are_columns_like_others(tmp_path: Path) -> None:
    head = HEAD.replace("path: t.csv", "path: t.csv, channels: [power, flux]")
    plan = plan_of(tmp_path, "{name: flux}", "{name: power, formula: flux * 2}", head=head)
    assert plan.sinks[0].channels == ("power", "flux")
    (found,) = problems(tmp_path, "{name: flux}", "{name: flux, formula: a * 2}", "{name: a}")
    assert "two channels are named 'flux'" in found


def test_a_virtual_channel_has_no_sensor(tmp_path: Path) -> None:
    head = HEAD.replace("{type: simulated}", "{type: simulated, sensor_faults: [{channel: b, at: 0, samples: 1}]}")
    (found,) = problems(tmp_path, "{name: a}", "{name: b, formula: a * 2}", head=head)
    assert "board.sensor_faults[0].channel: there is no channel 'b'\n    there are: a" in found


def test_what_is_out_of_date_is_a_warning_and_no_refusal(tmp_path: Path) -> None:
    yesterday = datetime.date.today() - datetime.timedelta(days=1)
    calibration = f"{{linear: {{scale: 2}}, unit: bar, valid_until: {yesterday}}}"
    (warning,) = plan_of(tmp_path, f"{{name: a, calibration: {calibration}}}").warnings
    assert (warning.key, warning.place is not None) == ("task.channels[0].calibration.valid_until", True)
    assert f"the calibration of a counted until {yesterday}" in warning.message
    today = calibration.replace(str(yesterday), str(datetime.date.today()))
    assert plan_of(tmp_path, f"{{name: a, calibration: {today}}}").warnings == ()


def test_a_polynomial_that_turns_within_the_range_is_a_warning(tmp_path: Path) -> None:
    channel = "{{name: a, range: {}, calibration: {{polynomial: [0, 0, 1], unit: Pa}}}}"
    (warning,) = plan_of(tmp_path, channel.format("[-1, 1]")).warnings
    assert "this polynomial turns within the range [-1, 1] of a" in warning.message
    assert plan_of(tmp_path, channel.format("[0, 1]")).warnings == ()


def test_strain_is_another_word_for_a_bridge(tmp_path: Path) -> None:
    calibrations = []
    for word in ("strain", "bridge"):
        channel = f"{{name: s, calibration: {{{word}: quarter, excitation: 5, gauge_factor: 2.1}}}}"
        task = plan_of(tmp_path, channel).board.task
        assert task is not None
        calibrations.append(task.channels[0].calibration)
    assert calibrations[0] == calibrations[1] is not None
    (wrong,) = problems(tmp_path, "{name: s, calibration: {strain: third, excitation: 5, gauge_factor: 2.1}}")
    assert "must be one of quarter, half, full" in wrong
    (both,) = problems(tmp_path, "{name: s, calibration: {strain: half, bridge: half, excitation: 5, gauge_factor: 2}}")
    assert "unknown key" in both
