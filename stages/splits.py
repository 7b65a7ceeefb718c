"""`splits assign` and `splits check`: every patient gets one split, and keeps it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import ValidationError

from knee.anatomy import Side
from knee.errors import InputError
from knee.keys import JsonValue
from knee.splits import PatientSplit, Split, SplitSource
from stages.console import emit_json, say, show_table
from store.connection import open_store
from store.patient_splits import (
    cartilage_lesions,
    load_patient_splits,
    load_released_splits,
    record_splits,
    volume_patients,
)
from store.patient_splits import split_leaks as store_split_leaks
from store.writer import StoreWriter
from tools.cohort import list_problems, read_manifest, split_leaks
from tools.cohort_check import look_alike_patients
from tools.moaks_table import MoaksTable, find_moaks_tables, read_moaks_tables
from tools.release_files import read_released_splits
from tools.split_files import known_splits, read_record, read_split_list, write_splits
from tools.splits import (
    DEFAULT_SEED,
    LESION_SIZE,
    Shares,
    assign_splits,
    severity_stratum,
    stratum_of,
)


def assign_cohort(
    root: Path,
    *,
    moaks: list[Path] | None,
    released: Path | None,
    seed: int | None,
    shares: Shares,
    stratify: bool,
    as_json: bool,
) -> int:
    """Fills in the `split` column of a manifest and keeps the record `splits.csv`; returns 0.

    Raises:
        InputError: the manifest, the record or the released splits are wrong or contradict each
            other; nothing is written then.
    """
    manifest = read_manifest(root)
    manifest.refuse_problems()
    record = known_splits(manifest, read_record(root))
    kept = {} if released is None else _read_released(released)
    patients = sorted({volume.key.patient for volume in manifest.volumes})
    _refuse_look_alikes(str(manifest.path), patients, record, kept)
    strata: dict[str, str | None] = dict.fromkeys(patients)
    if stratify:
        tables = list(find_moaks_tables(root)) if moaks is None else moaks
        if tables:
            strata |= _table_strata(read_moaks_tables(tables), patients)
        else:
            say("no MOAKS table: severity is not known, patients are drawn by the hash alone")
    splits = assign_splits(
        strata,
        known=record,
        released=kept,
        shares=shares,
        seed=_settled_seed(seed, record.values()),
    )
    write_splits(manifest, {**record, **splits})
    _show(splits, n_new=len(splits.keys() - record.keys()), as_json=as_json)
    return 0


def assign_store(
    store: Path,
    *,
    released: Path | None,
    seed: int | None,
    shares: Shares,
    stratify: bool,
    as_json: bool,
) -> int:
    """Gives a split to every patient of a store who has none; returns 0.

    The released splits are those of the file, else of an imported release.

    Raises:
        InputError: no such store, or a recorded split contradicts a released one.
    """
    with StoreWriter(store) as writer:
        with writer.reading() as con:
            known = load_patient_splits(con)
            patients = volume_patients(con)
            lesions = cartilage_lesions(con, LESION_SIZE) if stratify else {}
            imported = load_released_splits(con)
        kept = imported if released is None else _read_released(released)
        _refuse_look_alikes(str(store), patients, known, kept)
        strata = {p: stratum_of(lesions[p]) if p in lesions else None for p in patients}
        splits = assign_splits(
            strata,
            known=known,
            released=kept,
            shares=shares,
            seed=_settled_seed(seed, known.values()),
        )
        record_splits(writer, splits.values())
    _show(splits, n_new=len(splits.keys() - known.keys()), as_json=as_json)
    return 0


def check_cohort_splits(root: Path, *, as_json: bool) -> int:
    """Looks for leaks in a manifest and its record; returns 0 when there is none.

    Raises:
        InputError: lists the leaks, the first 20 and their number.
    """
    manifest = read_manifest(root)
    manifest.refuse_problems(
        [
            *split_leaks(manifest.volumes),
            *look_alike_patients(volume.key.patient for volume in manifest.volumes),
        ]
    )
    known = known_splits(manifest, read_record(root))
    patients = {volume.key.patient for volume in manifest.volumes}
    _show({p: known[p] for p in sorted(patients & known.keys())}, as_json=as_json)
    _tell_unassigned(patients - known.keys())
    return 0


def check_store_splits(store: Path, *, as_json: bool) -> int:
    """Looks for leaks in a store: knees, visits, sequences, the record and the release.

    Raises:
        InputError: lists the leaks, the first 20 and their number.
    """
    with open_store(store, read_only=True) as con:
        patients = volume_patients(con)
        leaks = [*store_split_leaks(con), *look_alike_patients(patients)]
        known = load_patient_splits(con)
    if leaks:
        raise InputError(
            f"store {str(store)!r} has {list_problems(leaks)}",
            "all volumes of a patient have one split; `prepare` a manifest that says so, or "
            "`splits assign` for volumes without one",
        )
    _show({p: known[p] for p in patients if p in known}, as_json=as_json)
    _tell_unassigned(set(patients) - known.keys())
    return 0


def shares_of(text: str) -> Shares:
    """Returns the shares in `0.7,0.1,0.2`: train, val, test.

    Raises:
        InputError: not three numbers that sum to 1.
    """
    try:
        train, val, test = (float(part) for part in text.split(","))
        return Shares(train=train, val=val, test=test)
    except (ValueError, ValidationError) as error:
        raise InputError(
            f"shares {text!r} are not three numbers of 0 or more that sum to 1",
            "train, val, test, e.g. 0.7,0.1,0.2",
        ) from error


def _table_strata(table: MoaksTable, patients: Iterable[str]) -> dict[str, str | None]:
    wanted = set(patients)
    by_patient: dict[str, list[tuple[str, Side]]] = {}
    for patient, visit, side in table.knee_visits():
        if patient in wanted:
            by_patient.setdefault(patient, []).append((visit, side))
    return {
        patient: severity_stratum(
            grade for visit, side in visits for grade in table.grades_for(patient, visit, side)
        )
        for patient, visits in by_patient.items()
    }


def _refuse_look_alikes(
    name: str,
    patients: Iterable[str],
    known: Mapping[str, PatientSplit],
    released: Mapping[str, Split],
) -> None:
    """Refuses to draw twice for a person who is written in two ways: it could not be undone.

    Raises:
        InputError: ids differ in case or leading zeros alone, here, in the record or the release.
    """
    problems = list(look_alike_patients((*patients, *sorted(known), *sorted(released))))
    if problems:
        raise InputError(
            f"{name!r} has {list_problems(problems)}",
            "write each patient in one way everywhere, then `splits assign`",
        )


def _read_released(path: Path) -> dict[str, Split]:
    return read_released_splits(path) if path.is_dir() else read_split_list(path)


def _settled_seed(seed: int | None, known: Iterable[PatientSplit]) -> int:
    """The seed asked for, which must be the recorded one if there is one."""
    recorded = {record.seed for record in known if record.seed is not None}
    if seed is None:
        return recorded.pop() if len(recorded) == 1 else DEFAULT_SEED
    if recorded and recorded != {seed}:
        raise InputError(
            f"seed {seed!r} is not the recorded one: {sorted(recorded)!r}",
            "leave --seed out; another seed would draw new patients from another lottery",
        )
    return seed


def _show(splits: Mapping[str, PatientSplit], *, n_new: int | None = None, as_json: bool) -> None:
    by_split = Counter(record.split for record in splits.values())
    by_source = Counter(record.source for record in splits.values())
    by_stratum = Counter((r.stratum or "not known", r.split) for r in splits.values())
    strata = sorted({stratum for stratum, _ in by_stratum})
    if as_json:
        document: dict[str, JsonValue] = {
            "patients": {split.value: by_split[split] for split in Split},
            "sources": {source.value: by_source[source] for source in SplitSource},
            "strata": {s: {p.value: by_stratum[s, p] for p in Split} for s in strata},
        }
        emit_json(document if n_new is None else {**document, "new_patients": n_new})
        return
    show_table(
        "patients by severity stratum and split",
        ["stratum", *(split.value for split in Split)],
        [
            *([stratum, *(by_stratum[stratum, split] for split in Split)] for stratum in strata),
            ["all", *(by_split[split] for split in Split)],
        ],
        to_stdout=True,
    )
    sources = ", ".join(f"{source.value} {n}" for source, n in sorted(by_source.items()))
    new = "" if n_new is None else f", {n_new} of them new"
    say(f"{len(splits)} patient(s) have a split{new} ({sources or 'none'}); no patient in two")


def _tell_unassigned(patients: set[str]) -> None:
    if patients:
        say(f"{len(patients)} patient(s) have no split yet: `splits assign` gives them one")
