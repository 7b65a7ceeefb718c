"""A blinded sample from draw to error rate."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from knee.errors import InputError
from knee.keys import ItemKey
from run_pipeline import main
from stages.review_figures import sample_figures
from stages.review_sample import draw_items
from store.connection import open_store
from store.review_samples import Read, Sample, SampleItem
from store.reviews import ReviewedText
from store.writer import StoreWriter
from tests.export_cases import NEW, make_store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = make_store(tmp_path / "knees.duckdb")
    with StoreWriter(path) as writer, writer.transaction() as con:
        # The one rejected item becomes one that the judge refused.
        con.execute(
            "INSERT INTO judgements SELECT run_id, volume_id, question_id, 1, 2, 'judge', [], "
            "MAP {}, NULL, [], ['rubric'], false, recorded_at FROM outcomes "
            "WHERE run_id = ? AND state = 'rejected'",
            [NEW],
        )
    return path


def sample(store: Path, step: str, *words: str) -> int:
    return main(["review", "sample", step, "s1", *words, "--store", str(store)])


def draw(store: Path) -> int:
    return sample(store, "draw", "--run", NEW, "--readers", "A", "B", "--out", str(store.parent))


def read_rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def fill(path: Path, wrong: set[str]) -> Path:
    """Fills a sheet in: texts about the `wrong` images are wrong."""
    rows = read_rows(path)
    for row in rows:
        is_wrong = row["image"].split("/")[1] in wrong
        row["verdict"], row["reason"] = ("wrong", "wrong_place") if is_wrong else ("ok", "")
        row["grades"] = f"{row['components'].split('; ')[0]}=1"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_sheets_tell_neither_grade_nor_verdict_and_readers_have_their_own_order(store: Path):
    assert draw(store) == 0
    sheets = [read_rows(store.parent / f"s1.{r}.csv") for r in "AB"]
    assert len(sheets[0]) == 7
    assert sorted(r["item"] for r in sheets[0]) == sorted(r["item"] for r in sheets[1])
    assert [r["item"] for r in sheets[0]] != [r["item"] for r in sheets[1]]
    assert set(sheets[0][0]).isdisjoint({"state", "stratum", "clinician_grades", "weight"})
    text = (store.parent / "s1.A.csv").read_text(encoding="utf-8").lower()
    for told in ("grade 1", "less than 33", "accepted", "judge", "rejected"):
        assert told not in text
    assert draw(store) == 2


def test_from_two_readers_to_the_error_rate(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert draw(store) == 0
    a, b = (tmp_path / f"s1.{r}.csv" for r in "AB")
    assert sample(store, "read", str(fill(a, {"9104001", "9104003"})), "--reader", "A") == 0
    assert sample(store, "read", str(fill(b, {"9104001"})), "--reader", "B") == 0
    third = tmp_path / "third.csv"
    assert sample(store, "disputes", "--out", str(third)) == 0
    assert len(read_rows(third)) == 2
    words = (str(fill(third, {"9104003"})), "--reader", "C", "--adjudicates")
    assert sample(store, "read", *words) == 0
    assert sample(store, "read", *words) == 0  # the same again changes nothing
    capsys.readouterr()
    assert sample(store, "result", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    figures = {f["figure"]: f for f in found["figures"]}
    # 9104001 has two accepted items, 9104003 one accepted and the refused one.
    assert (figures["error rate"]["n"], figures["error rate"]["value"]) == (6, 0.5)
    assert figures["error rate"]["low"] is None
    assert "fewer than 10" in figures["error rate"]["no_interval"]
    assert figures["judge: sensitivity"]["value"] == pytest.approx(1 / 4)
    assert figures["judge: specificity"]["value"] == 1.0
    assert figures["same grade"]["value"] == 1.0
    assert found["reasons"] == {"wrong_place": 3}
    with open_store(store, read_only=True) as con:
        rows = con.execute(
            "SELECT patient, status, checked_by FROM v_quintuples WHERE run_id = ? "
            "AND question_id = 1 AND NOT synthetic ORDER BY patient",
            [NEW],
        ).fetchall()
        reviews = con.execute("SELECT reviewer, count(*) FROM reviews GROUP BY 1").fetchall()
    assert rows == [
        ("9104001", "rejected", None),
        ("9104002", "valid", "A+B"),
        ("9104003", "rejected", None),
        ("9104004", "valid", "A+B"),
    ]
    assert dict(reviews) == {"A+B": 5, "C": 2}


def test_wrong_sheets_are_one_message_each(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert draw(store) == 0
    sheet = fill(tmp_path / "s1.A.csv", set())
    good = sheet.read_text(encoding="utf-8")
    for before, after, message in (
        (",ok,", ",perhaps,", "verdict 'perhaps'"),
        (",ok,,", ",wrong,,", "with reason ''"),
        (",ok,,", ",wrong,ugly,", "reason 'ugly'"),
        ("=1,", "=77,", "=77'"),
    ):
        sheet.write_text(good.replace(before, after, 1), encoding="utf-8")
        assert sample(store, "read", str(sheet), "--reader", "A") == 2
        assert message in capsys.readouterr().err
    sheet.write_text(good, encoding="utf-8")
    assert sample(store, "read", str(sheet), "--reader", "C") == 2
    assert sample(store, "read", str(sheet), "--reader", "A") == 0
    sheet.write_text(good.replace(",ok,,", ",wrong,other,", 1), encoding="utf-8")
    assert sample(store, "read", str(sheet), "--reader", "A") == 2
    assert "a read is not changed" in capsys.readouterr().err
    with open_store(store, read_only=True) as con:
        assert con.execute("SELECT count(*) FROM review_reads").fetchall() == [(7,)]


def test_a_draw_is_seeded_stratified_and_its_weights_add_up():
    items = [(ItemKey(f"{p}/V00/right/dess", 1), "accepted:bml:0") for p in range(1000)]
    items += [(ItemKey(f"{p}/V00/right/dess", 2), "accepted:bml:1+") for p in range(8)]
    items += [(ItemKey(f"{p}/V00/right/dess", 3), "judge:bml:0") for p in range(30)]
    drawn = draw_items(items, "s", 1, 40, 10)
    assert Counter(d[2] for d in drawn) == {
        "accepted:bml:0": 32,
        "accepted:bml:1+": 8,
        "judge:bml:0": 10,
    }
    assert sum(d[3] for d in drawn) == pytest.approx(1038)
    assert drawn == draw_items(items, "s", 1, 40, 10)
    assert drawn != draw_items(items, "s", 2, 40, 10)
    assert len({d[0] for d in drawn}) == 50


def test_the_error_rate_is_weighted_by_stratum_with_an_interval_over_patients():
    items: list[SampleItem] = []
    reads: dict[str, tuple[Read, ...]] = {}
    for number in range(100):
        rare = number < 50
        code = f"{number:010d}"
        text = ReviewedText("r", ItemKey(f"p{number}/V00/right/dess", 1), 1, "sha", "accepted")
        stratum = "accepted:bml:1+" if rare else "accepted:bml:0"
        items.append(SampleItem(code, text, stratum, 1.0 if rare else 9.0))
        # Every second rare item is wrong, and every tenth of the frequent ones.
        wrong = number % 2 == 0 if rare else number % 10 == 0
        word = ("wrong", "other") if wrong else ("ok", None)
        reads[code] = tuple(Read(code, r, False, *word, {}, None) for r in "AB")
    figures, _ = sample_figures(Sample("s", "r", ("A", "B"), tuple(items), reads))
    rate = figures[0].value
    assert rate.value == pytest.approx((25 * 1 + 5 * 9) / (50 * 1 + 50 * 9))
    assert rate.low is not None
    assert rate.high is not None
    assert 0.05 < rate.low < 0.14 < rate.high < 0.25
    assert figures[3].value.reason == "no item that the judge refused is settled"


def test_nothing_to_draw_is_told(store: Path, tmp_path: Path):
    from stages.review_sample import draw as draw_sample

    with pytest.raises(InputError, match="no accepted item"):
        draw_sample(
            store,
            "s2",
            "trial",
            readers=("A", "B"),
            size=5,
            refused=5,
            seed=0,
            out=tmp_path,
        )
    assert not list(tmp_path.glob("s2*"))
