"""Each format of log is read as it is, and what is wrong with one is said in words."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from evaluation_logs import RULES, random_log, write_log
from pyarrow import parquet

from tidemark.errors import EvaluationError
from tidemark.evaluation.log import NO_ITEM, ActionLog
from tidemark.evaluation.readers import read_log
from tidemark.movielens import find_movielens

MAY_1998 = int(datetime(1998, 5, 1, tzinfo=UTC).timestamp())
NOON = int(datetime(2024, 3, 1, 12, tzinfo=UTC).timestamp())


def rows(log: ActionLog) -> list[tuple[str, str | None, str]]:
    """Who did what to which item, in order."""
    return [
        (
            log.user_ids[user],
            None if item == NO_ITEM else log.catalogue[item].item_id,
            log.action_names[action],
        )
        for user, item, action in zip(log.users, log.items, log.actions, strict=True)
    ]


def movielens_csv(folder: Path) -> None:
    (folder / "movies.csv").write_text(
        'movieId,title,genres\n7,"Alien, The (1979)",Horror|Sci-Fi\n9,Heat (1995),\n'
    )
    (folder / "ratings.csv").write_text(
        f"userId,movieId,rating,timestamp\n1,9,0.5,{NOON + 5}\n2,7,5.0,{NOON}\n1,404,3.0,{NOON}\n"
    )


def test_movielens_of_csv_files(tmp_path: Path) -> None:
    movielens_csv(tmp_path)
    log = read_log(tmp_path)
    # in time order, without the film that the catalogue does not have
    assert rows(log) == [("2", "7", "rate"), ("1", "9", "rate")]
    assert log.ts.tolist() == [NOON * 1_000, (NOON + 5) * 1_000]
    assert log.catalogue[0].title == "Alien, The (1979)"
    assert log.catalogue[0].categories == ("Horror", "Sci-Fi")
    assert log.catalogue[1].categories == ()
    assert (log.lowest, log.highest) == (0.5, 5.0)
    # the ends of the log's scale are those of the rules'
    assert log.strengths(RULES).tolist() == [1.0, -0.25]


def movietweetings(
    folder: Path, stars: tuple[str, str] = ("10", "1"), *, coded: str = "utf-8"
) -> None:
    (folder / "movies.dat").write_bytes(
        "007::Amélie (2001)::Comedy|Romance\n009::Heat (1995)::\n".encode(coded)
    )
    (folder / "ratings.dat").write_text(
        f"1::007::{stars[0]}::{NOON}\n\n2::009::{stars[1]}::{NOON}\n"
    )


@pytest.mark.parametrize(
    ("stars", "scale"),
    [(("10", "1"), (0, 10)), (("8", "0"), (0, 10)), (("5", "1"), (1, 5)), (("5", "0.5"), (0.5, 5))],
)
@pytest.mark.parametrize("coded", ["utf-8", "latin-1"])
def test_movietweetings_and_older_movielens(
    tmp_path: Path, stars: tuple[str, str], scale: tuple[float, float], coded: str
) -> None:
    movietweetings(tmp_path, stars, coded=coded)
    log = read_log(tmp_path)
    # of one time, so in the file's order; ids keep their zeros
    assert rows(log) == [("1", "007", "rate"), ("2", "009", "rate")]
    assert log.catalogue[0].title == "Amélie (2001)"
    assert log.catalogue[1].categories == ()
    assert (log.lowest, log.highest) == scale
    assert np.abs(log.strengths(RULES)).max() <= 1


def test_movielens_100k_of_the_package() -> None:
    log = read_log(find_movielens())
    assert (len(log), len(log.user_ids), len(log.catalogue)) == (100_000, 943, 1_682)
    assert log.action_names == ("rate",)
    assert not np.isnan(log.ratings).any()


RETAIL = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"


def test_online_retail_leaves_returns_and_rows_without_a_customer_out(tmp_path: Path) -> None:
    file = tmp_path / "retail.csv.gz"
    with gzip.open(file, "wt") as stream:
        stream.write(
            RETAIL + "1,A1, ,6,2010-12-01 08:26:00,2.5,17850.0,UK\n"
            "2,A1,  LAMP ,1,2010-12-01 08:25:00,2.5,17851,UK\n"
            "C3,A1,LAMP,-1,2010-12-01 08:27:00,2.5,17850.0,UK\n"
            "4,B2,MUG,1,2010-12-01 08:27:00,2.5,,UK\n"
            "5,B2,,1,2010-12-01 08:28:00,2.5,17850.0,UK\n"
        )
    log = read_log(file)
    # B2 has no title in any row that counts
    assert rows(log) == [("17851", "A1", "purchase"), ("17850", "A1", "purchase")]
    assert log.catalogue[0].title == "LAMP"
    assert log.ts[1] - log.ts[0] == 60_000


def test_a_log_of_ones_own_comes_back_as_it_was_written(tmp_path: Path) -> None:
    log = random_log(0)
    write_log(tmp_path / "own.csv", log)
    found = read_log(tmp_path / "own.csv")
    assert rows(found) == rows(log)
    assert (found.ts - found.ts[0]).tolist() == (log.ts - log.ts[0]).tolist()
    np.testing.assert_array_equal(found.ratings, log.ratings)
    np.testing.assert_array_equal(found.strengths(RULES), log.strengths(RULES))
    assert {one.item_id: one for one in found.catalogue}.items() <= {
        one.item_id: one for one in log.catalogue
    }.items()
    assert found.name == "own"


def test_columns_may_be_named_and_the_catalogue_lie_beside_it(tmp_path: Path) -> None:
    log, items = tmp_path / "clicks.tsv", tmp_path / "goods.tsv"
    log.write_text(
        "visitor\tsku\twhen\twhat\tcontext.device\n"
        "v1\ts1\t2024-03-01T12:00:00Z\tview\tphone\n"
        "v1\ts2\t2024-03-01T11:00:00+00:00\tpurchase\t\n"
    )
    items.write_text("sku\tlabel\tdescription\ns1\tLamp\tBright\ns2\tMug\t\n")
    columns = {
        "user_id": "visitor",
        "item_id": "sku",
        "ts": "when",
        "action": "what",
        "title": "label",
    }
    found = read_log(log, items=items, columns=columns)
    assert rows(found) == [("v1", "s2", "purchase"), ("v1", "s1", "view")]
    assert found.catalogue[0].description == "Bright"
    codes, meanings = found.context["device"]
    assert [meanings[code] if code >= 0 else None for code in codes] == [None, "phone"]


def test_parquet_with_times_and_lists(tmp_path: Path) -> None:
    table = pa.table(
        {
            "user": ["u", "u"],
            "item": [5, 6],
            "time": pa.array([NOON * 10**9 + 1, (NOON + 1) * 10**9 + 7], pa.timestamp("ns")),
            "title": ["Lamp", "Mug"],
            "category": [["home", "light"], None],
            "text": [None, "so good"],
        }
    )
    parquet.write_table(table, tmp_path / "log.parquet")
    log = read_log(tmp_path / "log.parquet")
    # without action and rating, all are views
    assert rows(log) == [("u", "5", "view"), ("u", "6", "view")]
    assert log.ts.tolist() == [NOON * 1_000, (NOON + 1) * 1_000]
    assert log.catalogue[0].categories == ("home", "light")
    assert log.texts == {1: "so good"}


@pytest.mark.parametrize("unit", [1, 1_000])
def test_times_are_seconds_or_milliseconds(tmp_path: Path, unit: int) -> None:
    file = tmp_path / "log.csv"
    file.write_text(f"user,item,ts,title\nu,i,{NOON * unit},T\n")
    assert read_log(file).ts.tolist() == [NOON * 1_000]


OWN = "user,item,ts,title,rating\n"


def own(text: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "own.csv").write_text(text)
        return folder / "own.csv"

    return make


def folder_of(**files: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        for name, text in files.items():
            (folder / name.replace("_", ".")).write_text(text)
        return folder

    return make


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder / "nowhere.csv", "there is no .*nowhere.csv; expected a folder or"),
        (folder_of(), "has none of: ratings.csv"),
        (own(""), "own.csv cannot be read: Empty"),
        (own("user,item,title\nu,i,T\n"), "expected one with ts: .*--column ts=NAME"),
        (own("user,item,ts\nu,i,1\n"), "expected item_id and title.*--items"),
        (own(OWN + "u,i,1,T,1\nu,i,soon,T,1\n"), "row 2 has 'soon' in .* ts; .* ISO 8601"),
        (own(OWN + "u,i,soon,T,1\nu,i,1,T,1\n"), "row 1 has 'soon'"),
        (own(OWN + "u,i,2020-01-01,T,1\nu,i,1,T,1\n"), "row 2 has '1'"),
        (own(OWN + "u,i,,T,1\n"), "row 1 has nothing"),
        (own(OWN + "u,i,nan,T,1\n"), "row 1 has 'nan'"),
        (own(OWN + "u,i,1e30,T,1\n"), "row 1 has '1e30' .* or ISO 8601$"),
        (own(OWN + f"u,i,{10**6 * NOON},T,1\n"), "may be in microseconds: divide all by 1,000$"),
        (own(OWN + f"u,i,{10**6 * MAY_1998},T,1\n"), "may be in microseconds"),
        (own(OWN + f"u,i,{10**9 * NOON},T,1\n"), "in nanoseconds: divide all by 1,000,000$"),
        (
            own(OWN + 3 * f"u,i,{NOON},T,1\n" + f"u,i,{1000 * NOON},T,1\n"),
            "row 4 has 1[0-9]*000 in .* ts, milliseconds .* where most are seconds, and 1 rows",
        ),
        (
            own(OWN + 3 * f"u,i,{1000 * NOON},T,1\n" + "u,i,0,T,1\n"),
            "row 4 has 0 in .* ts, seconds .* where most are milliseconds",
        ),
        (own(OWN + "u,i,1,T,good\n"), "row 1 has 'good' in the column rating; expected a number"),
        (own(OWN + "u,i,1,T,-1\n"), "rating of -1; expected 0 or more"),
        (own(OWN + "u,i,1,T,1\n,i,1,T,1\n"), "row 2 has no user_id, and 1 rows in all"),
        (own(OWN + "u,i,1,T\n"), "cannot be read: "),
        (own(OWN), "has no actions"),
        (own(OWN + "u,i,1,,1\nu,j,2, ,1\n"), r"actions \(2\), but no item with a title; .*--items"),
        (
            folder_of(
                ratings_csv="userId,movieId\n1,2\n", movies_csv="movieId,title,genres\n1,T,\n"
            ),
            "ratings.csv has the columns userId, movieId; expected also rating, timestamp",
        ),
        (
            folder_of(ratings_dat="1::2::3\n", movies_dat="1::T::\n"),
            "ratings.dat, line 1 has 3 fields; expected 4 with ::",
        ),
        (
            folder_of(ratings_dat="\n1::2::3::x\n", movies_dat="1::T::\n"),
            "ratings.dat: row 1 has 'x' in the column timestamp",
        ),
        (folder_of(ratings_dat="", movies_dat=""), "has no actions"),
        (own(RETAIL + "1,A,LAMP,many,2010-12-01,1,2,UK\n"), "row 1 has 'many' in .* Quantity"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: Path, make: Callable[[Path], Path], says: str) -> None:
    with pytest.raises(EvaluationError, match=says):
        read_log(make(tmp_path))


def test_what_is_said_of_columns_must_be_known_and_there(tmp_path: Path) -> None:
    file = own(OWN + "u,i,1,T,1\n")(tmp_path)
    with pytest.raises(EvaluationError, match="there is no colour; known: user_id, "):
        read_log(file, columns={"colour": "user"})
    with pytest.raises(EvaluationError, match="expected one with action: kind"):
        read_log(file, columns={"action": "kind"})
    with pytest.raises(EvaluationError, match="is a folder"):
        read_log(tmp_path, items=file)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("user_id,user_id,item_id,ts,title\nu,u,i,1,T\n", "has the column 'user_id' twice"),
        ("user_id;item_id;ts;title\nu;i;1;T\n", "divided by ';'; expected commas"),
    ],
)
def test_a_header_that_cannot_be_meant_is_said(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(EvaluationError, match=says):
        read_log(tmp_path / "log.csv")


def test_another_encoding_is_said(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(OWN.encode() + "u,i,1,Café,1\n".encode("latin-1"))
    with pytest.raises(EvaluationError, match="save it as UTF-8"):
        read_log(tmp_path / "log.csv")


def test_a_catalogue_of_other_items_is_said(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id,title\nx,T\n")
    with pytest.raises(EvaluationError, match=r"has actions \(1\), but none on an item .* \(1 in"):
        read_log(own(OWN + "u,i,1,T,1\n")(tmp_path), items=tmp_path / "items.csv")


def test_it_is_known_what_actions_were_taken_to_be(tmp_path: Path) -> None:
    assert read_log(own(OWN + "u,i,1,T,1\n")(tmp_path)).assumed == "rate"
    assert read_log(own("user,item,ts,title\nu,i,1,T\n")(tmp_path)).assumed == "view"
    told = read_log(own("user,item,ts,title,action\nu,i,1,T,like\n")(tmp_path))
    assert (told.assumed, told.action_names) == (None, ("like",))


def test_a_parquet_file_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "log.parquet").write_text("nothing")
    with pytest.raises(EvaluationError, match=r"log\.parquet cannot be read"):
        read_log(tmp_path / "log.parquet")


def test_a_rate_without_a_rating_is_said_where_it_counts(tmp_path: Path) -> None:
    file = own("user,item,ts,title,action,rating\nu,i,1,T,view,\nu,i,2,T,rate,\n")(tmp_path)
    with pytest.raises(
        EvaluationError, match=r"the user 'u' has a 'rate' on the item 'i' at 2000 ms w"
    ):
        read_log(file).strengths(RULES)


def test_what_has_no_title_is_left_out_and_counted(tmp_path: Path) -> None:
    log = read_log(own(OWN + "u,i,1,T,1\nu,j,2,,1\nv,j,3,,1\n")(tmp_path))
    assert (len(log), log.left_out) == (1, 2)


def test_an_action_without_a_rule_is_said(tmp_path: Path) -> None:
    file = own("user,item,ts,title,action\nu,i,1,T,wave\n")(tmp_path)
    with pytest.raises(EvaluationError, match=r"'wave', which has no weight .* actions\.wave"):
        read_log(file).strengths(RULES)
