"""What an export refuses as a whole: controls, phantoms among patients, licences, split leaks."""

from collections.abc import Sequence

import duckdb

from knee.errors import InputError
from knee.records import RunKind
from store.queries import require_run

NOT_KNOWN = "not known"
"""How a licence that nobody named is called."""
LICENCE_COLUMNS = ("licence", "image_licence", "model_licence")
"""Of masks, of images, and of the drafting model's weights (RULES 26)."""
_MAX_NAMED = 5
_SPLITS_OF = """
SELECT c.patient, list_sort(list(DISTINCT s.split))
FROM (SELECT DISTINCT patient FROM chosen) c JOIN (
    SELECT patient, split FROM volumes WHERE split IS NOT NULL
    UNION ALL SELECT patient, split FROM patient_splits
    UNION ALL SELECT patient, split FROM released_volumes
) s USING (patient)
GROUP BY ALL HAVING count(DISTINCT s.split) > 1 ORDER BY c.patient
"""


def check_runs(con: duckdb.DuckDBPyConnection, run_ids: Sequence[str]) -> None:
    """Refuses runs that are not there, and negative controls.

    Raises:
        InputError: names the first of them.
    """
    for run_id in run_ids:
        require_run(con, run_id)
        row = con.execute("SELECT kind, control FROM runs WHERE run_id = ?", [run_id]).fetchall()[0]
        if row[0] == RunKind.CONTROL.value:
            raise InputError(
                f"run {run_id!r} is the negative control {row[1]!r}",
                "its texts are wrong on purpose; `sql` reads them",
            )


def check_selected(con: duckdb.DuckDBPyConnection, *, synthetic: bool) -> None:
    """Refuses an empty selection, and phantoms that the request does not name.

    Raises:
        InputError: nothing is selected, or phantoms are.
    """
    total, phantoms = con.execute(
        "SELECT count(*), count(*) FILTER (synthetic) FROM chosen"
    ).fetchall()[0]
    if total == 0:
        stale = con.execute(
            "SELECT coalesce(sum(n), 0)::BIGINT FROM statuses WHERE status = 'stale'"
        ).fetchall()
        eligible = con.execute("SELECT count(*) FROM eligible").fetchall()
        raise InputError(
            "no accepted quintuple is selected",
            f"{eligible[0][0]} valid one(s) in these runs before the condition, "
            f"{stale[0][0]} stale one(s) in the store; `status` shows what there is",
        )
    if phantoms and not synthetic:
        raise InputError(
            f"{phantoms} of {total} selected rows are synthetic (phantoms or painted images)",
            "--only-synthetic takes those alone, --where 'NOT synthetic' leaves them out; the two "
            "are never pooled",
        )


def check_licences(con: duckdb.DuckDBPyConnection, named: Sequence[str]) -> None:
    """Refuses a mixture of licences that the request does not name.

    Args:
        con: an open selection.
        named: licences that are wanted; several values of one kind need all of them named.

    Raises:
        InputError: a kind has several licences that are not named, a licence is found that is not
            among the named, or one is named that no row has.
    """
    found: dict[str, list[str]] = {}
    for column in LICENCE_COLUMNS:
        rows = con.execute(
            f"SELECT DISTINCT coalesce({column}, ?) FROM chosen ORDER BY 1", [NOT_KNOWN]
        ).fetchall()
        found[column] = [str(row[0]) for row in rows]
    if not named:
        for column, values in found.items():
            if len(values) > 1:
                choice = " ".join(f'--licence "{value}"' for value in values)
                raise InputError(
                    f"the selected rows have {len(values)} values of {column}: {values!r}",
                    f"choose one with --where, or name every licence that may go out: {choice} ...",
                )
        return
    all_found = sorted({value for values in found.values() for value in values})
    unnamed = [value for value in all_found if value not in named]
    absent = [value for value in named if value not in all_found]
    if unnamed or absent:
        what = (
            f"rows of licence {unnamed[0]!r} are selected, which is not named"
            if unnamed
            else f"no selected row has the licence {absent[0]!r}"
        )
        raise InputError(what, f"masks, images and models of the selection have {all_found!r}")


def check_splits(con: duckdb.DuckDBPyConnection) -> None:
    """Refuses patients in two splits, and patients without one (RULES 19).

    Phantoms without a split pass: no benchmark is made of them.

    Raises:
        InputError: names the first of them and how many there are.
    """
    leaks = con.execute(_SPLITS_OF).fetchall()
    if leaks:
        patient, splits = leaks[0]
        raise InputError(
            f"{len(leaks)} patient(s) are in two splits, the first {patient!r} in {splits!r}",
            "`splits check --store` lists them; leave them out with --where",
        )
    rows = con.execute(
        "SELECT DISTINCT patient FROM chosen WHERE split IS NULL AND NOT synthetic ORDER BY 1"
    ).fetchall()
    if rows:
        names = ", ".join(repr(str(row[0])) for row in rows[:_MAX_NAMED])
        raise InputError(
            f"{len(rows)} selected patient(s) have no split: {names}"
            + (" ..." if len(rows) > _MAX_NAMED else ""),
            "run `splits assign --store` first: a patient without one may become a test patient",
        )
