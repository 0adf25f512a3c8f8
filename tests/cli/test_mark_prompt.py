"""The key `m` asks for a label; the mark is of the moment of the key, whenever the label is complete."""

from __future__ import annotations

from dtopipe.cli.mark_prompt import MarkPrompt, Wanted

S = 1_000_000_000


def test_the_moment_is_that_of_the_key_and_not_of_the_label() -> None:
    prompt = MarkPrompt()
    assert prompt.press("m", 5 * S) is None
    assert prompt.press("igni", 6 * S) is None
    assert "mark: igni" in prompt.line(7 * S).plain
    assert "2 s ago" in prompt.line(7 * S).plain
    assert prompt.press("tion\r", 9 * S) == Wanted("ignition", 5 * S)
    assert prompt.line(9 * S).plain == "m marks this moment"


def test_letters_are_taken_back_and_the_whole_is_given_up() -> None:
    prompt = MarkPrompt()
    assert prompt.press("mab\x7fc\n", S) == Wanted("ac", S)
    assert prompt.press("mabc\x15Zünd\r", S) == Wanted("Zünd", S)
    assert prompt.press("mabc", S) is None
    assert prompt.press("\x1b", S) is None
    assert prompt.press("\r", S) is None
    assert prompt.line(S).plain == "m marks this moment"


def test_keys_that_mean_nothing_are_passed_over() -> None:
    prompt = MarkPrompt()
    for keys in ("q", "\r", "\x1b[A", "\x7f", "xyz"):
        assert prompt.press(keys, S) is None
    prompt.press("m", S)
    assert prompt.press("\x1b[A", S) is None
    assert prompt.press("\x00\x07a m\tb\r", S) == Wanted("a mb", S)
    assert prompt.press("m  \r", S) is None
    prompt.press("m", S)
    assert prompt.press("x" * 500 + "\r", S) == Wanted("x" * 100, S)


def test_what_came_of_it_is_shown_for_a_while() -> None:
    prompt = MarkPrompt()
    prompt.tell("marked a\x1b[31m at sample 5", S)
    assert prompt.line(2 * S).plain == r"marked a\x1b[31m at sample 5"
    assert prompt.line(20 * S).plain == "m marks this moment"
