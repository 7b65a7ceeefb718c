"""A bench as columns: what is asked, of whom, and in which stratum. Numpy arrays, read once.

Half a million items as records would take gigabytes; as columns they take some tens of megabytes.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from eval.bench_files import Bench
from eval.bench_records import BenchItem, BenchPart, BenchVolume
from eval.mean_boxes import Grid, grid_of
from knee.errors import BenchError
from knee.findings import BoxSource
from knee.moaks import SCALES, Component, Feature
from knee.questions import QUESTIONS

Integers = npt.NDArray[np.int64]
Small = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

CELLS: tuple[tuple[Feature, Component], ...] = tuple(SCALES)
"""Every (feature, component), numbered by its place."""
CELL_NUMBER = {cell: number for number, cell in enumerate(CELLS)}
SOURCES: tuple[BoxSource, ...] = tuple(BoxSource)
"""Box sources, numbered by their place."""
_SOURCE_NUMBER = {source: number for number, source in enumerate(SOURCES)}
NONE = -1
"""In columns of numbers: there is none."""


class ComponentColumns(NamedTuple):
    """One row a component; grades are their own numbers, because every scale counts from 0."""

    item: Integers
    """Row of its item."""
    cell: Small
    """Number of its (feature, component)."""
    grade: Small
    """Grade read; `NONE` for an ambiguous one."""
    accepted: Small
    """Bit g is set when grade g counts as right."""
    rule: Small
    """Grade of the measurement rule; `NONE` without one."""
    balanced: Booleans
    """Whether it is in the balanced part."""
    projects: Small
    """Place of its reading projects in `BenchTable.projects`."""


class ItemColumns(NamedTuple):
    """One row an item, in the order of the file."""

    volume: Integers
    """Place of its volume in `BenchTable.volumes`."""
    question: Small
    """1-69."""
    first: Integers
    """Row of its first component; one more at the end."""
    box: Integers
    """(items, 6) `i0, i1, j0, j1, k0, k1`; all `NONE` without one."""
    source: Small
    """Number of the box's source; `NONE` without one."""


class BenchTable(NamedTuple):
    """A bench as columns."""

    volumes: tuple[BenchVolume, ...]
    """The volumes, ascending by id."""
    grids: tuple[Grid | None, ...]
    """How each volume is stored; None for one that could not be described."""
    patients: tuple[str, ...]
    """Patients, ascending."""
    volume_patient: Integers
    """Place of each volume's patient."""
    items: ItemColumns
    """The items."""
    components: ComponentColumns
    """Their components."""
    projects: tuple[tuple[str, ...], ...]
    """Sets of reading projects that occur."""
    row_of: dict[str, int]
    """Item id to its row."""

    @property
    def item_patient(self) -> Integers:
        """Place of each item's patient."""
        return self.volume_patient[self.items.volume]

    @property
    def component_patient(self) -> Integers:
        """Place of each component's patient."""
        return self.item_patient[self.components.item]


class _Collected:
    def __init__(self) -> None:
        self.items: list[tuple[int, int, int, int]] = []
        self.boxes: list[tuple[int, ...]] = []
        self.components: list[tuple[int, int, int, int, int, int, int]] = []
        self.projects: dict[tuple[str, ...], int] = {}
        self.row_of: dict[str, int] = {}

    def add(self, item: BenchItem, volume: int) -> None:
        row = len(self.items)
        if self.row_of.setdefault(item.item_id, row) != row:
            raise BenchError(f"the bench has the item {item.item_id!r} twice", "build it again")
        source = NONE if item.box_source is None else _SOURCE_NUMBER[item.box_source]
        self.items.append((volume, item.question_id, len(self.components), source))
        self.boxes.append((NONE,) * 6 if item.box is None else item.box.indices)
        feature = QUESTIONS[item.question_id].feature
        for one in item.components:
            self.components.append(
                (
                    row,
                    CELL_NUMBER[feature, one.component],
                    NONE if one.grade is None else one.grade,
                    sum(1 << grade for grade in one.accepted),
                    NONE if one.rule_grade is None else one.rule_grade,
                    BenchPart.BALANCED in one.parts,
                    self.projects.setdefault(one.readprj, len(self.projects)),
                )
            )


def bench_table(bench: Bench) -> BenchTable:
    """Returns a bench as columns.

    Raises:
        BenchError: an item cannot be read, or is there twice.
    """
    volumes = tuple(bench.volumes.values())
    place = {volume.volume_id: number for number, volume in enumerate(volumes)}
    patients = tuple(sorted({volume.patient for volume in volumes}))
    patient_place = {patient: number for number, patient in enumerate(patients)}
    found = _Collected()
    for item in bench.items():
        found.add(item, place[item.volume_id])
    return BenchTable(
        volumes=volumes,
        grids=tuple(_grids(volumes)),
        patients=patients,
        volume_patient=np.array([patient_place[v.patient] for v in volumes], np.int64),
        items=_item_columns(found),
        components=_component_columns(found),
        projects=tuple(found.projects),
        row_of=found.row_of,
    )


def _grids(volumes: tuple[BenchVolume, ...]) -> Iterator[Grid | None]:
    for volume in volumes:
        if volume.shape is None or volume.affine is None:
            yield None
        else:
            yield grid_of(volume.shape, volume.affine)


def _item_columns(found: _Collected) -> ItemColumns:
    columns = np.array(found.items, np.int64).reshape(-1, 4)
    return ItemColumns(
        volume=columns[:, 0],
        question=columns[:, 1].astype(np.int16),
        first=np.append(columns[:, 2], len(found.components)),
        box=np.array(found.boxes, np.int64).reshape(-1, 6),
        source=columns[:, 3].astype(np.int16),
    )


def _component_columns(found: _Collected) -> ComponentColumns:
    columns = np.array(found.components, np.int64).reshape(-1, 7)
    small = columns.astype(np.int16)
    return ComponentColumns(
        item=columns[:, 0],
        cell=small[:, 1],
        grade=small[:, 2],
        accepted=small[:, 3],
        rule=small[:, 4],
        balanced=columns[:, 5].astype(bool),
        projects=small[:, 6],
    )
