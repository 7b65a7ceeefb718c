"""`bench build`: every read of test patients as a folder that models are scored on (RULES 22)."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Final

import duckdb

from eval.agreement import Weighting
from eval.balanced_part import GradedKey, draw_balanced
from eval.bench_files import write_bench
from eval.bench_records import (
    FORMAT_VERSION,
    BenchBaselines,
    BenchComponent,
    BenchItem,
    BenchManifest,
    BenchPart,
    BenchVolume,
    ReaderKappa,
    TrainGrades,
)
from eval.mean_boxes import Grid, SidedBox, grid_of, mean_boxes
from knee.errors import BenchError
from knee.splits import Split
from stages.console import emit_json, say, show_table
from stages.export_folder import export_folder
from stages.read_agreement import PUBLISHED, FeatureAgreement, agreement_by_feature
from store.bench_items import (
    ReadComponent,
    n_graded_patients,
    read_components_of,
    train_boxes,
    train_grades,
    volumes_of,
)
from store.connection import open_store
from store.patient_splits import load_patient_splits, split_leaks
from store.reads import grades_with_several_reads

PUBLISHED_SOURCE: Final = "Hunter et al. 2011 (MOAKS, PMC4058435), abstract: inter-rater kappa"
"""Of `PUBLISHED`."""
NO_REGION: Final = "the findings have no region for this question"
VOLUME_FAILED: Final = "the volume could not be described"
_STATEMENTS: Final = (
    "DESS input, multi-sequence reference: readers graded on more sequences than a model is shown; "
    "bone-marrow lesions and synovitis are the worst off (RULES 9).",
    "Not a population sample: knees were chosen for the studies that read them, by outcome in some "
    "(READPRJ).",
    "Readers disagree: components whose reads gave different grades are the ambiguous part, with "
    "credit for either, and are pooled with nothing.",
    "Boxes of different sources (mask, partition, derived) are never pooled.",
)
_PHANTOMS: Final = "Synthetic knees: figures say that code is consistent, nothing about patients."
_MAX_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What the command line says."""

    store: Path
    """The DuckDB file."""
    out: Path
    """Folder to make."""
    name: str | None = None
    """Name of the bench; None takes the folder's."""
    seed: int = 0
    """Of the balanced part."""
    as_json: bool = False
    """Print the manifest on stdout."""


@dataclass(slots=True)
class _Survey:
    """What a first pass over the components tells."""

    keys: list[GradedKey] = field(default_factory=list[GradedKey])
    volumes: set[str] = field(default_factory=set[str])
    n_items: int = 0
    n_ambiguous: int = 0
    policies: set[str] = field(default_factory=set[str])
    definitions: set[str] = field(default_factory=set[str])


def build(options: BenchOptions) -> int:
    """Writes a bench and returns 0.

    Raises:
        BenchError: no test patients, nothing read of them, a patient in several splits, or phantoms
            beside patients.
        InputError: no store, or the folder holds something.
        StoreError: the store cannot be read, or the disk is full (exit code 3).
    """
    with (
        export_folder(options.out) as folder,
        open_store(options.store, read_only=True) as con,
    ):
        test, train = _patients(con)
        volumes = volumes_of(con, test)
        synthetic = _kind(con, volumes, train)
        survey = _survey(con, test)
        if not survey.n_items:
            raise BenchError(
                f"of {len(test)} test patient(s) with {len(volumes)} volume(s) nothing was read",
                "`prepare` takes clinicians' grades from the cohort's MOAKS tables",
            )
        used = [volume for volume in volumes if volume.volume_id in survey.volumes]
        balanced = draw_balanced(survey.keys, options.seed)
        manifest = write_bench(
            folder,
            _manifest(options, survey, used, len(balanced), synthetic=synthetic),
            used,
            _items(con, test, balanced),
            _baselines(con, train),
            _readers(con, synthetic=synthetic),
        )
    _tell(manifest, options)
    return 0


def _patients(con: duckdb.DuckDBPyConnection) -> tuple[list[str], list[str]]:
    """Test and training patients, ascending."""
    leaks = split_leaks(con)
    if leaks:
        raise BenchError(
            f"{len(leaks)} patient(s) in several splits: {'; '.join(leaks[:_MAX_NAMED])}",
            "`splits check` lists them; a test patient must be in no other split",
        )
    splits = load_patient_splits(con)
    test, train = (
        sorted(p for p, record in splits.items() if record.split is split)
        for split in (Split.TEST, Split.TRAIN)
    )
    if not test:
        raise BenchError(
            "the store has no test patients",
            "`splits assign` puts patients into train, val and test",
        )
    return test, train


def _kind(con: duckdb.DuckDBPyConnection, volumes: Sequence[BenchVolume], train: list[str]) -> bool:
    """Whether the knees are phantoms; refuses both kinds at once."""
    if not volumes:
        raise BenchError("no volume is of a test patient", "`prepare` puts volumes into the store")
    rows = con.execute(
        "SELECT DISTINCT synthetic FROM volumes WHERE patient IN (SELECT unnest($patients))",
        {"patients": sorted({volume.patient for volume in volumes} | set(train))},
    ).fetchall()
    if len(rows) > 1:
        n = sum(volume.synthetic for volume in volumes)
        raise BenchError(
            f"phantoms beside patients: {n} of {len(volumes)} test volumes are synthetic, and the "
            "training volumes count too",
            "the two are never pooled (RULES 26): keep phantoms in a store of their own",
        )
    return bool(rows[0][0])


def _survey(con: duckdb.DuckDBPyConnection, test: list[str]) -> _Survey:
    survey = _Survey()
    last: tuple[str, int] | None = None
    for row in read_components_of(con, test):
        if (row.volume_id, row.question_id) != last:
            last = row.volume_id, row.question_id
            survey.n_items += 1
        survey.volumes.add(row.volume_id)
        survey.policies.add(row.policy)
        if row.definition_id is not None:
            survey.definitions.add(row.definition_id)
        if is_ambiguous(row):
            survey.n_ambiguous += 1
        else:
            survey.keys.append(_key(row))
    return survey


def is_ambiguous(row: ReadComponent) -> bool:
    """Returns whether reads gave different grades, whatever a policy then made of them."""
    return len(row.given) > 1


def _key(row: ReadComponent) -> GradedKey:
    patient, grade = row.volume_id.partition("/")[0], row.grade
    assert grade is not None, "a read component has a grade"
    return GradedKey(patient, row.volume_id, row.question_id, row.component, grade)


def _items(
    con: duckdb.DuckDBPyConnection, test: list[str], balanced: frozenset[GradedKey]
) -> Iterator[BenchItem]:
    rows = read_components_of(con, test)
    for (volume_id, question_id), group in groupby(rows, lambda r: (r.volume_id, r.question_id)):
        components = list(group)
        first = components[0]
        reason = VOLUME_FAILED if first.volume_failed else first.box_reason
        if first.box is None and reason is None:
            reason = NO_REGION
        yield BenchItem(
            volume_id=volume_id,
            question_id=question_id,
            box=first.box,
            box_source=first.box_source,
            box_reason=reason,
            components=tuple(_component(row, balanced) for row in components),
        )


def _component(row: ReadComponent, balanced: frozenset[GradedKey]) -> BenchComponent:
    ambiguous = is_ambiguous(row)
    parts = (BenchPart.AMBIGUOUS,) if ambiguous else ()
    if not ambiguous and _key(row) in balanced:
        parts = (BenchPart.BALANCED,)
    grade = None if ambiguous else row.grade
    return BenchComponent(
        component=row.component,
        grade=grade,
        accepted=row.given if grade is None else (grade,),
        readprj=row.readprj,
        parts=parts,
        rule_grade=row.rule_grade,
        rule_basis=row.rule_basis,
    )


def _baselines(con: duckdb.DuckDBPyConnection, train: list[str]) -> BenchBaselines:
    grids: dict[str, Grid] = {}

    def sided() -> Iterator[SidedBox]:
        for one in train_boxes(con, train):
            if one.volume_id not in grids:
                grids[one.volume_id] = grid_of(one.shape, one.affine)
            yield SidedBox(one.question_id, one.side, one.box, grids[one.volume_id])

    means = mean_boxes(sided())
    counts: dict[tuple[int, str], TrainGrades] = {}
    for row in train_grades(con, train):
        key = (row.question_id, row.component.value)
        old = counts.get(key)
        counts[key] = TrainGrades(
            question_id=row.question_id,
            component=row.component,
            counts={**({} if old is None else old.counts), row.grade: row.n},
        )
    return BenchBaselines(
        n_volumes=len(grids),
        n_patients=n_graded_patients(con, train),
        mean_boxes=means,
        grades=tuple(counts[key] for key in sorted(counts)),
    )


def _readers(con: duckdb.DuckDBPyConnection, *, synthetic: bool) -> Iterator[ReaderKappa]:
    """Own between-read kappas, of all patients with several reads, and the published ones."""
    own = agreement_by_feature(grades_with_several_reads(con, synthetic=synthetic))
    for found in own:
        for weighting, kappa in found.kappas.items():
            if kappa.value is not None or weighting is Weighting.NONE:
                yield _reader(found, weighting)
    with_pairs = {(found.feature, found.component, found.part) for found in own}
    for (feature, component, part), published in PUBLISHED.items():
        if (feature, component, part) not in with_pairs:
            yield ReaderKappa(
                feature=feature,
                component=component,
                part=part,
                weighting=Weighting.NONE.value,
                kappa=None,
                reason="no pairs of reads in this store",
                published=published,
                published_source=PUBLISHED_SOURCE,
            )


def _reader(found: FeatureAgreement, weighting: Weighting) -> ReaderKappa:
    kappa = found.kappas[weighting]
    return ReaderKappa(
        feature=found.feature,
        component=found.component,
        part=found.part,
        weighting=weighting.value,
        kappa=kappa.value,
        reason=kappa.reason,
        low=kappa.low,
        high=kappa.high,
        no_interval=kappa.no_interval,
        n_pairs=found.n_pairs,
        n_patients=found.n_patients,
        published=found.published,
        published_source=None if found.published is None else PUBLISHED_SOURCE,
    )


def _manifest(
    options: BenchOptions,
    survey: _Survey,
    volumes: Sequence[BenchVolume],
    n_balanced: int,
    *,
    synthetic: bool,
) -> BenchManifest:
    overlap = Counter(volume.segmenter_trained_on for volume in volumes)
    trained = (
        f"The segmenter was trained on the patients of {overlap[True]} volume(s), not on those of "
        f"{overlap[False]}; of {overlap[None]} it is not known (RULES 19)."
    )
    return BenchManifest(
        format_version=FORMAT_VERSION,
        bench_id="",
        name=options.out.name if options.name is None else options.name,
        files={},
        n_volumes=len(volumes),
        n_patients=len({volume.patient for volume in volumes}),
        n_items=survey.n_items,
        n_components={
            "all": len(survey.keys),
            "balanced": n_balanced,
            "ambiguous": survey.n_ambiguous,
        },
        seed=options.seed,
        policies=tuple(sorted(survey.policies)),
        definitions=tuple(sorted(survey.definitions)),
        synthetic=synthetic,
        statements=(*((_PHANTOMS,) if synthetic else ()), *_STATEMENTS, trained),
    )


def _tell(manifest: BenchManifest, options: BenchOptions) -> None:
    if options.as_json:
        emit_json({"folder": str(options.out), **manifest.model_dump(mode="json")})
    show_table(
        f"bench {manifest.name}: components by part",
        ["part", "components"],
        [[part, n] for part, n in manifest.n_components.items()],
    )
    for statement in manifest.statements:
        say(statement)
    say(
        f"{manifest.n_items} item(s) of {manifest.n_volumes} volume(s) and {manifest.n_patients} "
        f"patient(s) in {options.out}: {manifest.bench_id}"
    )
