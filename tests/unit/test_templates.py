from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders import DEFAULT_TEMPLATES, EncoderError, TemplateError, Templates

NAMES = ["title", "categories", "description", "text", "rating", "action", "context.device"]
WORD = st.text("abcXYZ09éß日", min_size=1, max_size=6)
VALUES = st.lists(WORD, min_size=1, max_size=3).map(" ".join)
BLANKS = st.sampled_from([None, "", "   ", "\n", " , ", ".", ";", " - "])
#: Sentences that end by themselves, and white space that a catalogue may hold.
ROUGH = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", " ", "\t", ", "]),
    VALUES,
    st.sampled_from([".", "!", "?", ",", " ;", ". ", "?\n"]),
)
SEPARATORS = st.sampled_from([". ", ", ", " - ", ": ", " ", ". Genre: ", " | ", " — "])


@st.composite
def templates(draw: st.DrawFn) -> tuple[list[str], list[str], str]:
    """Fields, the literals between them, and the one at the end."""
    fields = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    literals = [draw(SEPARATORS) for _ in fields[1:]]
    return fields, literals, draw(st.sampled_from(["", "."]))


def write(fields: list[str], literals: list[str], end: str) -> str:
    gaps = ["", *literals]
    return "".join(f"{gap}{{{field}}}" for gap, field in zip(gaps, fields, strict=True)) + end


@given(templates(), st.data())
def test_full_templates_are_plain_substitution(
    template: tuple[list[str], list[str], str], data: st.DataObject
) -> None:
    fields, literals, end = template
    values = {field: data.draw(VALUES) for field in fields}
    expected = write(fields, literals, end)
    for field, value in values.items():
        expected = expected.replace(f"{{{field}}}", value)
    assert Templates({"t": write(fields, literals, end)}).render("t", values) == expected


@given(templates(), st.data())
def test_absent_fields_leave_no_hole(
    template: tuple[list[str], list[str], str], data: st.DataObject
) -> None:
    fields, literals, end = template
    values = {field: data.draw(st.one_of(BLANKS, VALUES, ROUGH)) for field in fields}
    text = Templates({"t": write(fields, literals, end)}).render("t", values)
    kept = [v for v in values.values() if v and re.search(r"\w", v)]
    assert bool(text) == bool(kept)
    assert text == text.strip()
    assert not re.search(r"\s\s|\n|\t", text)
    assert not re.search(r" [.,;:]|[.,;:]{2}|[!?][.,;:]", text)
    assert not re.match(r"[.,;:|—-]", text)
    assert not re.search(r"[,;|—-]$", text)
    position = 0
    for value in kept:
        core = " ".join(re.findall(r"\w+", value))
        position = text.index(core, position) + len(core)


@given(templates(), st.data())
def test_a_blank_field_is_as_one_that_is_missing(
    template: tuple[list[str], list[str], str], data: st.DataObject
) -> None:
    fields, literals, end = template
    built = Templates({"t": write(fields, literals, end)})
    values = {field: data.draw(st.one_of(BLANKS, VALUES)) for field in fields}
    given_only = {k: v for k, v in values.items() if v and re.search(r"\w", v)}
    assert built.render("t", values) == built.render("t", given_only)


@given(st.dictionaries(st.sampled_from(NAMES), st.text()), st.sampled_from(["item", "review"]))
def test_any_text_gives_one_tidy_line(values: dict[str, str | None], name: str) -> None:
    text = Templates().render(name, values)
    assert text == " ".join(text.split())


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"title": "Alien", "categories": "Horror", "description": "In space"},
         "Alien. Horror. In space"),
        ({"title": "Who's there?", "categories": "Horror"}, "Who's there? Horror"),
        ({"title": "Acme Inc.", "description": "Anvils."}, "Acme Inc. Anvils."),
        ({"categories": "Horror"}, "Horror"),
        ({"title": "...And Justice for All", "categories": ""}, "...And Justice for All"),
        ({"title": " , ", "categories": None}, ""),
        ({}, ""),
    ],
)  # fmt: skip
def test_items(fields: dict[str, str | None], expected: str) -> None:
    assert Templates().render("item", fields) == expected


def test_brackets_go_with_the_field_they_close() -> None:
    built = Templates({"item": "{title} ({categories}): {description} [{rating}]"})
    assert built.render("item", {"title": "Alien", "description": "In space"}) == "Alien: In space"
    assert built.render("item", {"categories": "Horror", "rating": "5"}) == "(Horror) [5]"
    assert built.render("item", {"rating": "5"}) == "5", "alone, it needs none"
    assert Templates().render("review", {"title": "Jaws (1975)"}) == "Jaws (1975)"


def test_an_action_on_an_item_has_the_items_text() -> None:
    built = Templates()
    fields = {"title": "Alien", "text": "great", "action": "x"}
    for action in ("view", "click", "cart", "purchase", "rate", "like", "dislike", "skip", "wave"):
        assert built.render(action, fields) == built.render("item", fields) == "Alien"
        assert built.fields_of(action) == {"title", "categories", "description"}
    assert built.render("review", fields) == "great (Alien)"
    assert built.render("search", fields) == "great"


def test_an_action_on_no_item_is_a_search() -> None:
    built = Templates()
    assert built.render("ask", {"text": "red shoes"}) == "red shoes"
    assert built.template_for("ask", names_item=False) == "search"
    assert built.template_for("ask", names_item=True) == "item"


def test_own_templates_come_before_the_defaults() -> None:
    built = Templates({"view": "{context.device} {action}: {title}"})
    assert built.fields_of("view") == {"context.device", "action", "title"}
    fields = {"context.device": "phone", "action": "viewed", "title": "Alien"}
    assert built.render("view", fields) == "phone viewed: Alien"
    assert built.render("click", fields) == "Alien"
    assert built.fields_of("review") == Templates(DEFAULT_TEMPLATES).fields_of("review")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{name}", r"'t' names the unknown field 'name'; allowed: .*title.*context\.<name>"),
        ("{context.}", "unknown field"),
        ("{}", "unknown field ''"),
        ("{title!r}", "no conversion, no format"),
        ("{title:>9}", "no conversion, no format"),
        ("{title", "cannot be read"),
        ("only words", "has no field"),
    ],
)
def test_bad_templates_are_refused_at_once(text: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message) as raised:
        Templates({"t": text})
    assert isinstance(raised.value, EncoderError)
    assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("item", "{text}", r"\{categories\} or \{description\} or \{title\}"),
        ("search", "{title}", r"\{text\}"),
    ],
)
def test_templates_that_would_always_be_empty_are_refused(
    name: str, text: str, expected: str
) -> None:
    with pytest.raises(TemplateError, match=f"'{name}' would always be empty; expected {expected}"):
        Templates({name: text})
