"""What there is to say of an export beside its rows: versions, prompts, models, licences, controls.

Every list is sorted, so that the same selection says the same.
"""

from typing import Any, NamedTuple

import duckdb

from knee.keys import JsonValue
from store.export import ExportRows
from store.export_checks import LICENCE_COLUMNS, NOT_KNOWN

_VALUES = "SELECT DISTINCT {} AS value FROM {} WHERE value IS NOT NULL ORDER BY value"
_RUNS = "(SELECT r.* FROM runs r SEMI JOIN chosen USING (run_id))"


class ControlRun(NamedTuple):
    """A negative control beside the export."""

    control: str
    """Which one."""
    model: str
    """The drafting model as served."""
    accepted: int
    """Items accepted."""
    drafted: int
    """Items drafted."""


class ExportFacts(NamedTuple):
    """What the card and the manifest say."""

    tools_versions: tuple[str, ...]
    """Versions of the measuring code."""
    definitions: tuple[str, ...]
    """Definitions of regions, `<name>@<version>`."""
    prompts: tuple[str, ...]
    """`<id> v<version> <sha256>` of the prompts that drafted."""
    models: tuple[str, ...]
    """Drafting models as served."""
    judges: tuple[str, ...]
    """Judge models; `none` where there was none."""
    checks: tuple[str, ...]
    """Checks of the runs, `<name>@<version>`."""
    gates: tuple[str, ...]
    """Gates that the rows passed."""
    licences: tuple[tuple[str, str, str, int], ...]
    """Licence of masks, of images, of the model, and rows."""
    mask_sources: tuple[tuple[str, str, str, int], ...]
    """Where masks come from, what drew them, where images come from, and rows."""
    segmenter_trained_on: tuple[tuple[str, int], ...]
    """Whether the segmenter was trained on the row's patient, and rows."""
    n_patients: int
    """Patients of the rows."""
    n_volumes: int
    """Volumes of the rows."""
    n_restricted: int
    """Rows whose volume may not leave the machine; not known counts as such."""
    n_label_given: int
    """Rows whose drafter saw the grade."""
    n_stale: int
    """Stale quintuples of the same runs, which are left out."""
    n_rejected: int
    """Quintuples of the same runs that a person rejected, which are left out."""
    n_checked: int
    """Rows whose text a person read and accepted."""
    controls: tuple[ControlRun, ...]
    """Negative controls in the store, of the same kind of volumes."""

    def as_json(self) -> dict[str, JsonValue]:
        """Returns what a program may want."""
        return {
            "patients": self.n_patients,
            "volumes": self.n_volumes,
            "tools_versions": list(self.tools_versions),
            "definitions": list(self.definitions),
            "prompts": list(self.prompts),
            "models": list(self.models),
            "judges": list(self.judges),
            "checks": list(self.checks),
            "gates": list(self.gates),
            "licences": [
                dict(zip((*LICENCE_COLUMNS, "rows"), row, strict=True)) for row in self.licences
            ],
        }


_KEY = "(run_id, volume_id, question_id)"
_LISTS = {
    "tools_versions": (
        "f.tools_version",
        "findings_sets f SEMI JOIN chosen USING (volume_id, findings_id)",
    ),
    "definitions": (
        "g.definition_id",
        "regions g SEMI JOIN chosen USING (volume_id, findings_id, question_id)",
    ),
    "prompts": (
        "a.prompt_id || ' v' || a.prompt_version || ' ' || a.prompt_sha256",
        "attempts a JOIN quintuples z USING (run_id, volume_id, question_id, attempt_no) "
        f"SEMI JOIN chosen USING {_KEY}",
    ),
    "models": ("drafter_model", _RUNS),
    "judges": ("coalesce(judge_model, 'none')", _RUNS),
    "checks": (
        "c",
        "(SELECT unnest(list_transform(map_entries(checks), "
        f"lambda e: e.key || '@' || e.value)) AS c FROM {_RUNS})",
    ),
    "gates": (
        "g",
        f"(SELECT unnest(gates) AS g FROM v_outcomes SEMI JOIN chosen USING {_KEY})",
    ),
}
"""Lists of words: the value, and where it is found."""
_COUNTS = """
SELECT count(DISTINCT patient), count(DISTINCT volume_id),
    count(*) FILTER (restricted IS NOT FALSE AND NOT synthetic),
    count(*) FILTER (grounding = 'label_given'),
    (SELECT coalesce(sum(n), 0) FROM statuses
        WHERE status = 'stale' AND run_id IN (SELECT run_id FROM chosen)),
    (SELECT coalesce(sum(n), 0) FROM statuses
        WHERE status = 'rejected' AND run_id IN (SELECT run_id FROM chosen)),
    count(*) FILTER (is_checked)
FROM chosen
"""
_CONTROLS = """
SELECT r.control, r.drafter_model, count(*) FILTER (o.state = 'accepted'), count(*)
FROM v_outcomes o JOIN runs r USING (run_id) JOIN volumes v USING (volume_id)
WHERE r.kind = 'control' AND v.synthetic = (SELECT any_value(synthetic) FROM chosen)
GROUP BY r.run_id, r.control, r.drafter_model ORDER BY r.control, r.run_id
"""


def load_facts(rows: ExportRows) -> ExportFacts:
    """Returns what there is to say of an open selection."""
    lists = {
        name: tuple(str(row[0]) for row in rows.fetch(_VALUES.format(value, source)))
        for name, (value, source) in _LISTS.items()
    }
    licences = ", ".join(f"coalesce({name}, '{NOT_KNOWN}') AS {name}" for name in LICENCE_COLUMNS)
    volumes = "FROM chosen c JOIN volumes v USING (volume_id) GROUP BY ALL ORDER BY ALL"
    counts = tuple(int(n) for n in rows.fetch(_COUNTS)[0])
    n_patients, n_volumes, n_restricted, n_label_given, n_stale, n_rejected, n_checked = counts
    return ExportFacts(
        **lists,
        licences=_rows(rows, f"SELECT {licences}, count(*) FROM chosen GROUP BY ALL ORDER BY ALL"),
        mask_sources=_rows(
            rows,
            f"SELECT coalesce(mask_source, '{NOT_KNOWN}'), coalesce(segmenter, '{NOT_KNOWN}'), "
            f"coalesce(image_source, '{NOT_KNOWN}'), count(*) {volumes}",
        ),
        segmenter_trained_on=_rows(
            rows,
            f"SELECT coalesce(segmenter_trained_on::VARCHAR, '{NOT_KNOWN}'), count(*) {volumes}",
        ),
        n_patients=n_patients,
        n_volumes=n_volumes,
        n_restricted=n_restricted,
        n_label_given=n_label_given,
        n_stale=n_stale,
        n_rejected=n_rejected,
        n_checked=n_checked,
        controls=tuple(
            ControlRun(str(control), str(model), int(accepted), int(drafted))
            for control, model, accepted, drafted in rows.fetch(_CONTROLS)
        ),
    )


def known_ids(con: duckdb.DuckDBPyConnection) -> tuple[list[str], list[str]]:
    """Returns all patients of a store, and all paths and file names that may tell of them."""
    patients = con.execute(
        "SELECT patient FROM volumes UNION SELECT patient FROM clinician_grades "
        "UNION SELECT patient FROM released_volumes ORDER BY 1"
    ).fetchall()
    paths = con.execute(
        "SELECT * FROM (SELECT unnest([image, label_map, cohort_root]) AS path FROM volumes "
        "UNION SELECT unnest(list_append(read_files, file)) FROM clinician_grades "
        "UNION SELECT unnest([image, label_map]) FROM released_volumes) "
        "WHERE path IS NOT NULL ORDER BY path"
    ).fetchall()
    return [str(row[0]) for row in patients], [str(row[0]) for row in paths]


def _rows(rows: ExportRows, query: str) -> tuple[Any, ...]:
    return tuple(tuple(row) for row in rows.fetch(query))
