"""Entries go into a JSON text and out again; every other byte stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfdistill.service.json_editing import JsonProblem, parse, plain, with_entry, without_child

PATH = ("hooks", "Start")
MINE = {"command": "ours", "timeout": 5}
TEXTS = {
    "empty object": "{}",
    "empty object with a newline behind": "{}\n",
    "one member": '{\n  "a": 1\n}\n',
    "no newline at the end": '{\n  "a": 1\n}',
    "tabs": '{\n\t"a": {\n\t\t"b": [1, 2]\n\t}\n}\n',
    "windows line ends": '{\r\n    "a": 1,\r\n    "b": true\r\n}\r\n',
    "byte order mark": '\ufeff{\n  "a": 1\n}\n',
    "all in one line": '{"a":1,"b":[{}]}',
    "odd indentation": '{\n      "a": 1,\n "b": 2 }\n',
    "comments": '// top\n{\n  // before\n  "a": 1, /* inside */\n  "b": "// no comment" // behind\n  // last\n}\n',
    "only a comment": "{\n  // nothing yet\n}\n",
    "trailing comma": '{\n  "a": [1, 2,],\n}\n',
    "others' hooks": '{\n  "hooks": {\n    "Start": [\n      {"command": "theirs"}\n    ]\n  },\n  "z": null\n}\n',
    "others' hooks in a line": '{\n  "hooks": { "Start": [ {"command": "theirs"} ] }\n}\n',
    "others' hooks at another event": '{\n  "hooks": {\n    "End": []\n  }\n}\n',
    "others' hooks with trailing commas": '{\n  "hooks": {\n    "Start": [\n      {"command": "x"},\n    ],\n  },\n}\n',
    "braces in texts": '{\n  "a": "}]{[ \\" \\u007d",\n  "b": "/* */"\n}\n',
}


def removed(text: str) -> str:
    """The text without our entry and without what it was alone in, as the one who put it there takes it out."""
    root = parse(text)
    hooks = root.get("hooks")
    assert hooks is not None
    events = hooks.get("Start")
    assert events is not None
    index = next(index for index, item in enumerate(events.items) if plain(item) == MINE)
    if len(events.children) > 1:
        return without_child(text, events, index)
    if len(hooks.children) > 1:
        return without_child(text, hooks, [child.name for child in hooks.children].index("Start"))
    return without_child(text, root, [child.name for child in root.children].index("hooks"))


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_an_entry_goes_in_and_out_again_without_a_trace(text: str) -> None:
    """Putting an entry in and taking it out gives the same bytes, whatever the text looks like."""
    more = with_entry(text, PATH, MINE)
    expected = plain(parse(text))
    expected.setdefault("hooks", {}).setdefault("Start", []).append(MINE)
    assert plain(parse(more)) == expected
    assert removed(more) == text


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_no_other_byte_changes(text: str) -> None:
    """What was there is all still there, in its order: only a comma and the entry are new."""
    left = iter(with_entry(text, PATH, MINE))
    assert all(character in left for character in text)  # a subsequence


def test_the_entry_looks_like_the_rest() -> None:
    """Indentation and line ends are the text's own."""
    made = with_entry('{\r\n\t"a": 1\r\n}\r\n', PATH, "x")
    assert made == '{\r\n\t"a": 1,\r\n\t"hooks": {\r\n\t\t"Start": [\r\n\t\t\t"x"\r\n\t\t]\r\n\t}\r\n}\r\n'


def test_a_line_stays_a_line() -> None:
    """A text that is all in one line does not become several."""
    assert with_entry('{"a":1}', PATH, "x") == '{"a":1, "hooks": {"Start": ["x"]}}'


def test_the_last_of_two_members_with_one_name_counts() -> None:
    """Readers of JSON take the last one, so the entry goes there."""
    made = with_entry('{"hooks": {"Start": [1]}, "hooks": {"Start": [2]}}', PATH, 3)
    assert json.loads(made)["hooks"]["Start"] == [2, 3]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 1, "too early"),
        ('{"a": 1', 1, "no end"),
        ('{\n  "a": 1\n  "b": 2\n}', 3, "comma"),
        ("{\n  a: 1\n}", 2, "value"),
        ('{"a" 1}', 1, "colon"),
        ("{} {}", 1, "behind the end"),
        ('{"a": "\\x"}', 1, "no value"),
        ('{"a": NaN}', 1, "'N'"),
        ("/* open", 1, "'/'"),
        ("[" * 200 + "]" * 200, 1, "too deep"),
    ],
)
def test_what_is_no_json_is_refused_with_its_line(text: str, line: int, what: str) -> None:
    """A broken text is told by line and reason, and never edited."""
    with pytest.raises(JsonProblem, match=f"line {line}: .*{what}"):
        with_entry(text, PATH, MINE)


@pytest.mark.parametrize("text", ["[]", "1", '{"hooks": []}', '{"hooks": {"Start": {}}}', '{"hooks": null}'])
def test_another_shape_is_refused(text: str) -> None:
    """Where something else than hooks stands nothing is put."""
    with pytest.raises(JsonProblem):
        with_entry(text, PATH, MINE)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), values, max_size=4), st.sampled_from([None, 0, 1, 2, "\t"]), st.booleans())
def test_any_object_is_read_and_edited_as_json_says(
    document: dict[str, object], indent: object, ascii_only: bool
) -> None:
    """Our reading agrees with `json`, and an edit is what the same edit of the value would be."""
    document.pop("hooks", None)
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)  # type: ignore[arg-type]
    assert plain(parse(text)) == document
    more = with_entry(text, PATH, MINE)
    assert json.loads(more) == document | {"hooks": {"Start": [MINE]}}
    assert removed(more) == text
