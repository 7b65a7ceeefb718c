"""Writes MOAKS tables as OAI ships them, with every trap of theirs, and says what is in them.

Nothing here reads a table or uses the code that does: a cell is chosen from a list of (text,
number, what it says), so that what a reader makes of the text can be held against what was meant.
Column names are those of the phantom, of which the unconfirmed ones are guesses.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from knee.anatomy import Side
from knee.grades import GradeStatus
from knee.moaks import SCALES, Component, Feature, ScaleType
from knee.questions import question_by_region
from tests.sas7bdat_writer import Cell, write_sas7bdat
from tools.phantom.table import VARIABLES as PHANTOM_VARIABLES
from tools.phantom.table import Variable

Told = tuple[GradeStatus, int | None]
"""What a cell says of one component."""

_PERIARTICULAR = {
    "PES": "pes_anserine_bursitis",
    "ITB": "iliotibial_band_signal",
    "POP": "popliteal_cyst",
    "INF": "infrapatellar_bursitis",
    "PRE": "prepatellar_bursitis",
    "GAN": "ganglion_cyst",
    "LOO": "loose_bodies",
}
VARIABLES: dict[str, Variable] = PHANTOM_VARIABLES | {
    f"MPA{code}": Variable(Feature.PERIARTICULAR, site, (Component.PRESENCE,))
    for code, site in _PERIARTICULAR.items()
}
"""104 columns, 118 components."""
NOT_READ = ("MSYIC", "30")
"""A column that one project never read."""
UNKNOWN_COLUMNS = ("MXNEW", "MYOLD")
"""Columns that are no known variable."""
_SIDES = {
    Side.RIGHT: ("1: Right", "1", "1.0", "Right", "R", " right ", "1:RIGHT"),
    Side.LEFT: ("2: Left", "2", "2.0", "Left", "L", "left", " 2 : Left"),
}


class Entry(NamedTuple):
    """One cell that a table may hold."""

    text: str
    number: Cell
    """The same cell of a SAS file."""
    told: tuple[Told, ...]
    """For each component of the variable."""


class Key(NamedTuple):
    """Whose read a row is, and how the row writes that."""

    patient: str
    side: Side
    visit: str
    readprj: str
    version: str
    id_text: str
    side_text: str
    readprj_text: str


@dataclass(frozen=True, slots=True)
class GeneratedFile:
    """One table: for each column, the entries it chooses from and each row's choice."""

    name: str
    """File name without suffix."""
    prefix: str
    """Before each variable; empty when the visit is in a VISIT column."""
    keys: tuple[Key, ...]
    entries: dict[str, tuple[Entry, ...]]
    choice: dict[str, npt.NDArray[np.int64]]

    def entry(self, stem: str, row: int) -> Entry:
        """Returns a row's cell in a column."""
        return self.entries[stem][int(self.choice[stem][row])]

    @property
    def header(self) -> list[str]:
        """The column names."""
        keys = ["ID", "SIDE", "READPRJ", "VERSION", *([] if self.prefix else ["VISIT"])]
        return [*keys, *(self.prefix + stem for stem in (*VARIABLES, *UNKNOWN_COLUMNS))]

    def text_rows(self) -> Iterator[list[str]]:
        """Yields the rows of the text forms."""
        texts = {s: [entry.text for entry in self.entries[s]] for s in VARIABLES}
        columns = [[texts[s][n] for n in self.choice[s]] for s in VARIABLES]
        for number, key in enumerate(self.keys):
            head = [key.id_text, key.side_text, key.readprj_text, key.version]
            if not self.prefix:
                head.append(f"{int(key.visit[1:])}: visit")
            yield [*head, *(column[number] for column in columns), "7", ".: n\xe3o lido"]

    def write(self, folder: Path, form: str) -> Path:
        """Writes the table as `ascii`, `csv` or `sas`; returns its path."""
        if form == "sas":
            return self._write_sas(folder / f"{self.name.lower()}.sas7bdat")
        path = folder / f"{self.name}.{'txt' if form == 'ascii' else 'csv'}"
        rows = [self.header, *self.text_rows()]
        if form == "ascii":
            text = "\r\n".join(["|".join(row) for row in rows] + [""])
            path.write_bytes(text.encode("latin-1"))
            return path
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows(rows)
        path.write_bytes(buffer.getvalue().encode("utf-8"))
        return path

    def _write_sas(self, path: Path) -> Path:
        numbers = {s: [entry.number for entry in self.entries[s]] for s in VARIABLES}
        columns = [[numbers[s][n] for n in self.choice[s]] for s in VARIABLES]
        rows: list[list[Cell]] = []
        for number, key in enumerate(self.keys):
            head: list[Cell] = [key.patient, 1.0 if key.side is Side.RIGHT else 2.0]
            head += [key.readprj, key.version]
            if not self.prefix:
                head.append(float(key.visit[1:]))
            rows.append([*head, *(column[number] for column in columns), 7.0, None])
        return write_sas7bdat(path, self.header, rows)


def generate(n_knee_visits: int, seed: int) -> tuple[GeneratedFile, ...]:
    """Returns four tables with that many knee-visits: baseline and 24 months, two further projects.

    Of the baseline's knees a quarter is read again in the FNIH table, some of them twice more in
    the main one, with another READPRJ or VERSION.
    """
    rng = np.random.default_rng(seed)
    n_poma = n_knee_visits // 10
    n_follow = n_knee_visits // 3
    n_base = n_knee_visits - n_poma - n_follow
    base = _knees(n_base, 9000000)
    main = [*_reads(rng, base, "V00", ("22", "30", "63A", "65"))]
    again = [knee for knee in base if rng.random() < 0.2]
    main += _reads(rng, again, "V00", ("63B",))
    main += _reads(rng, again[::3], "V00", ("63B",), version="SQ:61")
    files = [
        _file(rng, "kMRI_SQ_MOAKS_BICL00", "V00", main),
        _file(
            rng, "kMRI_SQ_MOAKS_BICL03", "V03", _reads(rng, base[:n_follow], "V03", ("22", "65"))
        ),
        _file(rng, "kMRI_FNIH_SQ_MOAKS_BICL00", "V00", _reads(rng, base[::4], "V00", ("FNIH",))),
    ]
    poma = _knees(n_poma, 9900000)
    visits = [f"V{number:02d}" for number in (0, 1, 3, 5, 6)]
    keys = [
        key
        for number, knee in enumerate(poma)
        for key in _reads(rng, [knee], visits[number % len(visits)], ("POMA",))
    ]
    files.append(_file(rng, "kMRI_POMA_TKR_MOAKS_BICL", "", keys))
    return tuple(files)


def question_of(stem: str) -> int:
    """Returns the question that a column is about."""
    variable = VARIABLES[stem]
    return question_by_region(f"{variable.feature.value}:{variable.site}").question_id


def _knees(n: int, first: int) -> list[tuple[str, Side]]:
    """Both knees of every patient, so that a patient has up to two."""
    sides = (Side.RIGHT, Side.LEFT)
    return [(str(first + 1 + number // 2), sides[number % 2]) for number in range(n)]


def _reads(
    rng: np.random.Generator,
    knees: Sequence[tuple[str, Side]],
    visit: str,
    projects: Sequence[str],
    version: str = "",
) -> list[Key]:
    keys: list[Key] = []
    for patient, side in knees:
        readprj = projects[int(rng.integers(len(projects)))]
        ids = (patient, patient, f"{patient}.0", f" {patient} ", f"b'{patient}'")
        sides = _SIDES[side]
        projects_written = (readprj, f"{readprj}.0" if readprj.isdecimal() else readprj)
        keys.append(
            Key(
                patient,
                side,
                visit,
                readprj,
                version or f"SQ:{readprj}",
                ids[int(rng.integers(len(ids)))],
                sides[int(rng.integers(len(sides)))],
                projects_written[int(rng.integers(2))],
            )
        )
    return keys


def _file(rng: np.random.Generator, name: str, prefix: str, keys: Sequence[Key]) -> GeneratedFile:
    follow = np.array([key.visit != "V00" for key in keys])
    project = np.array([key.readprj for key in keys])
    entries: dict[str, tuple[Entry, ...]] = {}
    choice: dict[str, npt.NDArray[np.int64]] = {}
    for stem, variable in VARIABLES.items():
        baseline, later = _catalogue(variable, False), _catalogue(variable, True)
        entries[stem] = tuple(entry for _, entry in (*baseline, *later))
        chosen = np.empty(len(keys), dtype=np.int64)
        for is_later, catalogue, offset in ((False, baseline, 0), (True, later, len(baseline))):
            weights = np.array([weight for weight, _ in catalogue])
            picked = rng.choice(len(catalogue), len(keys), p=weights / weights.sum())
            chosen[follow == is_later] = picked[follow == is_later] + offset
        if stem == NOT_READ[0]:
            lost = project == NOT_READ[1]
            told = ((GradeStatus.NOT_READ_IN_PROJECT, None),)
            entries[stem] = (*entries[stem], Entry(".: Missing", None, told))
            chosen[lost] = len(entries[stem]) - 1
        choice[stem] = chosen
    return GeneratedFile(name, prefix, tuple(keys), entries, choice)


def _catalogue(variable: Variable, follow_up: bool) -> list[tuple[float, Entry]]:
    """What a column may hold at baseline or later, with weights; zeros are most frequent."""
    n = len(variable.components)
    entries = _unread(n)
    change = GradeStatus.CHANGE_CODE if follow_up else GradeStatus.OFF_SCALE
    for code in ("0.5", "-0.5", "-1"):
        entry = Entry(f"{code}: Within-grade change", float(code), ((change, None),) * n)
        entries.append((0.3, entry))
    off = ((GradeStatus.OFF_SCALE, None),) * n
    if variable.feature is Feature.CARTILAGE:
        return entries + _cartilage(off)
    feature, component = variable.feature, variable.components[0]
    scale = SCALES[feature, component]
    counted = scale.scale_type is ScaleType.COUNT
    for code in ("-2", "1.5", "1e0", "nan", "O", "1 2", *(() if counted else ("9: Other", "12"))):
        entries.append((0.2, Entry(code, -3.0, off)))
    for grade, wording in scale.wording.items():
        read: Told = (GradeStatus.READ, grade)
        if component is Component.MORPHOLOGY and grade == 7 and not follow_up:
            read = off[0]
        weight = 40.0 if grade == 0 else 8.0
        for share, text in ((0.9, f"{grade}: {wording}"), (0.04, str(grade)), (0.03, f"{grade}.0")):
            entries.append((weight * share, Entry(text, float(grade), (read,))))
        entries.append((weight * 0.03, Entry(f" 0{grade} :{wording}", float(grade), (read,))))
    if counted:
        entries += [
            (1.0, Entry(f"{count}: {count} lesions", float(count), ((GradeStatus.READ, 3),)))
            for count in (4, 6, 11)
        ]
    return entries


def _unread(n: int) -> list[tuple[float, Entry]]:
    missing = ((GradeStatus.MISSING, None),) * n
    absent = ((GradeStatus.NOT_READ_IN_PROJECT, None),) * n
    prosthesis = ((GradeStatus.PROSTHESIS, None),) * n
    return [
        (3.0, Entry(".: Missing Form/Incomplete Workbook", None, missing)),
        (1.0, Entry("", None, missing)),
        (1.0, Entry(".", None, missing)),
        (0.5, Entry(".T: Technical problems", ".T", missing)),
        (0.5, Entry(".M: Missing", ".M", missing)),
        (1.0, Entry(".A: Not Expected", ".A", absent)),
        (0.5, Entry(".P: Prosthesis/knee replacement", ".P", prosthesis)),
    ]


def _cartilage(off: tuple[Told, ...]) -> list[tuple[float, Entry]]:
    entries: list[tuple[float, Entry]] = []
    for size in range(4):
        for full in range(size + 1):
            told: tuple[Told, ...] = ((GradeStatus.READ, size), (GradeStatus.READ, full))
            code, number = f"{size}.{full}", float(f"{size}.{full}")
            weight = 40.0 if size == 0 else 6.0
            texts = [
                (0.9, f"{code}: {size} of area, {full} full thickness, na\xefve"),
                (0.04, code),
            ]
            texts.append((0.03, f"{code}0"))
            if full == 0:
                texts += [(0.03, str(size)), (0.01, f"{size}.")]
            else:
                # The number as three and four bytes keep it, printed.
                cut = np.frombuffer(np.array(number, ">f8").tobytes()[:3] + bytes(5), ">f8")
                texts += [(0.02, repr(float(cut[0]))), (0.02, repr(float(np.float32(number))))]
            entries += [(weight * share, Entry(text, number, told)) for share, text in texts]
    for code in ("2.5", "1.2", "0.1", "3.4", "4.0", "1.9999999", "0.00000001"):
        entries.append((0.3, Entry(f"{code}: slip", float(code), off)))
    for code in ("2.11", "2.1.1", "two"):
        entries.append((0.3, Entry(code, 7.0, off)))
    return entries
