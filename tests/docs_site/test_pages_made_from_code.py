"""What the site's own tools make of code and links."""

from __future__ import annotations

import doctest

import pytest

import docsite.lists
from docsite.errors_page import errors_of, errors_page, reject_reasons
from docsite.http_api import http_api_page, schema_words
from docsite.links import Places, resolved
from docsite.lists import widened
from docsite.settings_page import all_settings
from docsite.tables import cell
from streams import errors as streams_errors
from streams.errors import RejectReason
from tidemark.explain import meanings

PAGES = frozenset(
    {"index.md", "design.md", "how-to/deploy.md", "how-to/tune.md", "contributing.md"}
)


@pytest.mark.parametrize(
    ("uri", "markdown", "expected"),
    [
        # between pages
        ("how-to/tune.md", "[d](../design.md#parts)", "[d](../design.md#parts)"),
        # a file that is a page under another name
        ("how-to/tune.md", "[d](../../deploy/README.md)", "[d](deploy.md)"),
        ("how-to/deploy.md", "[c](../CONTRIBUTING.md)", "[c](../contributing.md)"),
        ("how-to/deploy.md", "[d](../docs/design.md#parts)", "[d](../design.md#parts)"),
        # the front page of the repository is that of the site
        ("contributing.md", "[r](README.md)", "[r](index.md)"),
        # a file that is none
        ("design.md", "[the licence](../LICENSE)", "the licence (`LICENSE`)"),
        ("design.md", "[LICENSE](../LICENSE)", "LICENSE"),
        # what is not there is left as it is, for the build to complain
        ("design.md", "[x](missing.md)", "[x](missing.md)"),
        # elsewhere, within the page, in code
        ("design.md", "[x](https://kafka.apache.org)", "[x](https://kafka.apache.org)"),
        ("design.md", "[x](#parts)", "[x](#parts)"),
        ("design.md", "`[x](../LICENSE)`", "`[x](../LICENSE)`"),
        ("design.md", "```\n[x](../LICENSE)\n```\n", "```\n[x](../LICENSE)\n```\n"),
        ("design.md", "[`x`](../LICENSE) and [y](design.md)", "`x` (`LICENSE`) and [y](design.md)"),
    ],
)
def test_links(uri: str, markdown: str, expected: str) -> None:
    assert resolved(markdown, uri, Places(PAGES)) == expected


def test_links_to_files_lead_to_the_repository_where_one_is_named() -> None:
    places = Places(PAGES, "https://example.org/tidemark/")
    found = resolved("[the licence](../LICENSE)", "design.md", places)
    assert found == "[the licence](https://example.org/tidemark/blob/HEAD/LICENSE)"


def test_what_belongs_to_an_item_is_indented_by_four() -> None:
    assert widened("- one\n  more\n\n  again\n- two\n") == (
        "- one\n    more\n\n    again\n\n- two\n"
    )
    assert widened("- one\n\nAfter.\n  deeper\n") == "- one\n\nAfter.\n  deeper\n"
    assert widened("```\n- one\n  two\n```\n- a\n  b\n") == "```\n- one\n  two\n```\n- a\n    b\n"


def test_the_example_of_lists_is_right() -> None:
    assert doctest.testmod(docsite.lists) == (0, 1)


def test_every_setting_has_a_type_and_a_variable() -> None:
    found = {one.name: one for one in all_settings()}
    assert found.keys() == meanings().keys()
    assert found["policy.k"].kind == "number"
    assert found["policy.k"].bounds == "≥ 0, < 1"
    assert found["policy.name"].kind == "`constant` or `decay` or `adaptive` or `influence`"
    assert found["kafka.security.ca_file"].kind == "path"
    assert found["retrieval.port"].bounds == "≥ 0, ≤ 65,535"
    assert found["topics.items"].variable == "TIDEMARK_TOPICS__ITEMS"


def test_errors_and_reasons() -> None:
    assert [name for name, _ in reject_reasons()] == [one.value for one in RejectReason]
    assert errors_of(streams_errors)[0] is streams_errors.StreamsError
    assert "| `PublishError` | `StreamsError` | may help |" in errors_page()


def test_schemas_in_words() -> None:
    assert schema_words({"$ref": "#/components/schemas/Item"}) == "[Item](#item)"
    assert schema_words({"anyOf": [{"type": "string"}, {"type": "null"}]}) == "text or null"
    assert schema_words({"type": "array", "items": {"type": "integer", "minimum": 1}}) == (
        "list of whole number (≥ 1)"
    )
    assert schema_words({"const": "popular"}) == "`popular`"


def test_the_http_page_says_scopes_defaults_and_answers() -> None:
    text = http_api_page()
    request = text.partition("## GET /v1/users/{user_id}/candidates\n")[2].partition("\n## ")[0]
    assert "Scope: `read`." in request
    assert "| `k` | query | whole number (≥ 1, ≤ 1,000) | `10` | How many, at most. |" in request
    assert "Answer 200: [Candidates](#candidates)." in request
    assert "Needs no token." in text.partition("## GET /healthz\n")[2].partition("\n## ")[0]


def test_a_cell_stays_one_cell() -> None:
    assert cell("a | b\n  c") == r"a \| b c"
