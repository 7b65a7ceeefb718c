"""What is wrong with one phantom: target extents, drawn from its seed.

Two ways to draw the grades: a severity between 0 (healthy) and 1 (end stage), with one compartment
worse than the other as in life, or `balanced`, where every grade is equally likely at every site.
The extents are targets; what was really drawn is measured on the phantom's shapes (`truth`).
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

import numpy as np

from knee.anatomy import Bone, Compartment, ExtrusionSite, MeniscusPart, OsteophyteSite, Subregion
from knee.errors import InputError

Severity = float | Literal["balanced"] | None
"""0–1, `balanced`, or None for a severity of the knee's own."""


class Absence(StrEnum):
    """A structure that can be gone without a voxel."""

    ACL = "acl"
    MEDIAL_MENISCUS = "medial_meniscus"
    LATERAL_MENISCUS = "lateral_meniscus"
    MEDIAL_TIBIAL_CARTILAGE = "medial_tibial_cartilage"
    LATERAL_TIBIAL_CARTILAGE = "lateral_tibial_cartilage"
    FEMORAL_CARTILAGE = "femoral_cartilage"
    PATELLAR_CARTILAGE = "patellar_cartilage"

    def covers(self, subregion: Subregion) -> bool:
        """Returns whether the cartilage of a subregion goes with this structure."""
        first, *rest = self.value.split("_")
        if rest != ["tibial", "cartilage"]:
            plates = {
                Absence.FEMORAL_CARTILAGE: Bone.FEMUR,
                Absence.PATELLAR_CARTILAGE: Bone.PATELLA,
            }
            return subregion.is_articular and plates.get(self) is subregion.bone
        return subregion.bone is Bone.TIBIA and subregion.compartment.value == first


@dataclass(frozen=True)
class MarrowLesion:
    """Lesions in the bone wedge of one subregion."""

    share: float
    """Of the wedge's volume, cysts included."""
    count: int
    bml_share: float
    """Of the lesions' volume; the rest is cyst."""


@dataclass(frozen=True)
class CartilageDefect:
    """Cartilage loss in one subregion, as shares of its surface."""

    share: float
    full_share: float
    thin_factor: float
    """Thickness left where the loss is partial, as a share of the healthy thickness."""


@dataclass(frozen=True)
class Pathology:
    """All findings of a phantom; what is not named is healthy."""

    bml: dict[Subregion, MarrowLesion] = field(default_factory=dict[Subregion, MarrowLesion])
    cartilage: dict[Subregion, CartilageDefect] = field(
        default_factory=dict[Subregion, CartilageDefect]
    )
    osteophyte_mm: dict[OsteophyteSite, float] = field(default_factory=dict[OsteophyteSite, float])
    extrusion_mm: dict[ExtrusionSite, float] = field(default_factory=dict[ExtrusionSite, float])
    morphology: dict[MeniscusPart, int] = field(default_factory=dict[MeniscusPart, int])
    """6 partial, 8 complete maceration."""
    effusion_ml: float = 1.5
    hoffa_share: float = 0.0
    acl_torn: bool = False
    """Only a stump is left."""
    acl_gone: bool = False
    """Not even that."""

    def without(self, absent: Collection[Absence]) -> "Pathology":
        """Returns the findings with structures gone: denuded, macerated, no ligament at all."""
        cartilage, morphology = dict(self.cartilage), dict(self.morphology)
        for structure in absent:
            for subregion in Subregion:
                if structure.covers(subregion):
                    cartilage[subregion] = CartilageDefect(1.0, 1.0, 0.4)
            for part in MeniscusPart:
                if part.value.startswith(structure.value):
                    morphology[part] = 8
        gone = self.acl_gone or Absence.ACL in absent
        return replace(self, cartilage=cartilage, morphology=morphology, acl_gone=gone)


_BML_SHARES = {1: (0.08, 0.28), 2: (0.38, 0.61), 3: (0.71, 0.88)}
_BML_OF_LESION = {0: (0.0, 0.0), 1: (0.10, 0.28), 2: (0.38, 0.61), 3: (0.71, 0.86)}
_DEFECT_SHARES = {1: (0.045, 0.06), 2: (0.15, 0.70), 3: (0.80, 0.95)}
_OSTEOPHYTE_MM = {1: (1.6, 2.4), 2: (3.6, 4.4), 3: (5.6, 8.0)}
_EXTRUSION_MM = {0: (-1.0, 1.4), 1: (2.4, 2.6), 2: (3.6, 4.4), 3: (5.6, 8.0)}
_EFFUSION_ML = {0: (1.0, 2.2), 1: (4.0, 6.0), 2: (8.2, 11.5), 3: (14.2, 16.8)}
_HOFFA_SHARES = {1: (0.08, 0.16), 2: (0.25, 0.40), 3: (0.50, 0.65)}
"""Targets that keep clear of the thresholds: 4 percentage points (0.10 of the smallest cartilage
grade is too narrow: 4 points either side of 5 %), 0.6 mm (0.4 mm inside [2, 3) mm)."""


class PathologyPainter:
    """Draws grades and extents from one random stream."""

    def __init__(self, seed: int, severity: Severity, clear_of_thresholds: bool) -> None:
        if isinstance(severity, float | int) and not 0.0 <= severity <= 1.0:
            raise InputError(f"severity out of range: {severity!r}", "give 0 to 1, or 'balanced'")
        self._rng = np.random.default_rng([seed, 2])
        self._balanced = severity == "balanced"
        own = float(self._rng.beta(1.3, 1.5))
        self._level = own if severity is None or isinstance(severity, str) else float(severity)
        medial_worse = self._rng.random() < 0.65
        self._worse = Compartment.MEDIAL if medial_worse else Compartment.LATERAL
        self._widen = 0.0 if clear_of_thresholds else 1.0

    def grade(self, compartment: Compartment, shift: float = 0.0) -> int:
        """Returns a grade 0–3."""
        if self._balanced:
            return int(self._rng.integers(0, 4))
        bias = 0.35 if compartment is self._worse else -0.55
        latent = 3.4 * self._level - 0.7 + bias * (self._level + 0.3) + shift
        return int(np.clip(np.floor(latent + self._rng.normal(0.0, 0.85)), 0, 3))

    def between(self, bounds: tuple[float, float], gap: float) -> float:
        """Returns a value in an interval, widened by `gap` when thresholds may be approached."""
        low, high = bounds
        return float(self._rng.uniform(low - self._widen * gap, high + self._widen * gap))

    def draw(self) -> Pathology:
        """Returns the knee's pathology; call once."""
        bml = {s: lesion for s in Subregion if (lesion := self._marrow(s)) is not None}
        cartilage = {
            s: defect
            for s in Subregion
            if s.is_articular and (defect := self._cartilage(s)) is not None
        }
        osteophytes = {
            s: self.between(_OSTEOPHYTE_MM[grade], 0.5)
            for s in OsteophyteSite
            if (grade := self.grade(_compartment(s.value), -0.2)) > 0
        }
        morphology = self._morphology()
        extrusion = {
            s: self.between(_EXTRUSION_MM[self.grade(_compartment(s.value), -0.2)], 0.4)
            for s in ExtrusionSite
        }
        knee = Compartment.MIDLINE
        hoffa = self.grade(knee)
        return Pathology(
            bml=bml,
            cartilage=cartilage,
            osteophyte_mm=osteophytes,
            extrusion_mm=extrusion,
            morphology=morphology,
            effusion_ml=self.between(_EFFUSION_ML[self.grade(knee, 0.3)], 0.7),
            hoffa_share=self.between(_HOFFA_SHARES[hoffa], 0.02) if hoffa else 0.0,
            acl_torn=bool(self._rng.random() < (0.3 if self._balanced else 0.15 * self._level)),
        )

    def _marrow(self, subregion: Subregion) -> MarrowLesion | None:
        grade = self.grade(subregion.compartment, -0.4)
        if grade == 0:
            return None
        count = int(self._rng.choice([1, 2, 3], p=[0.45, 0.3, 0.25]))
        common = [0.02, 0.04, 0.10, 0.84]
        kind = int(self._rng.choice(4, p=[0.25] * 4 if self._balanced else common))
        without_cyst = kind == 3 and self._rng.random() < 0.75
        share = 1.0 if without_cyst else self.between(_BML_OF_LESION[kind], 0.0)
        return MarrowLesion(self.between(_BML_SHARES[grade], 0.035), count, share)

    def _cartilage(self, subregion: Subregion) -> CartilageDefect | None:
        grade = self.grade(subregion.compartment)
        if grade == 0:
            return None
        share = self.between(_DEFECT_SHARES[grade], 0.02)
        depth = min(grade, self.grade(subregion.compartment, -0.5))
        low, high = _DEFECT_SHARES[depth] if depth else (0.0, 0.0)
        # Near the thresholds a loss may be smaller than what its depth is drawn from.
        full = self.between((min(low, share), min(high, share)), 0.0) if depth else 0.0
        thin = self.between((0.40, 0.48), 0.0) - 0.2 * self._widen * float(self._rng.random())
        return CartilageDefect(share, min(full, share), thin)

    def _morphology(self) -> dict[MeniscusPart, int]:
        codes: dict[MeniscusPart, int] = {}
        for part in MeniscusPart:
            draw = self._rng.random()
            chance = 0.4 if self._balanced else 0.5 * max(self._level - 0.35, 0.0)
            if _compartment(part.value) is not self._worse:
                chance *= 0.4
            if draw < chance:
                codes[part] = 8 if draw < 0.3 * chance else 6
        return codes


def _compartment(site: str) -> Compartment:
    """Compartment named in a site's value; the patella's poles count as midline."""
    return next((c for c in Compartment if c.value in site.split("_")), Compartment.MIDLINE)


def draw_pathology(
    seed: int, severity: Severity = None, *, clear_of_thresholds: bool = True
) -> Pathology:
    """Returns the pathology of a seed; anatomy is drawn from another stream of the same seed.

    Args:
        seed: the phantom's seed.
        severity: see `Severity`.
        clear_of_thresholds: keep extents away from the grades' borders, so that a voxel more or
            less does not decide a grade.

    Raises:
        InputError: the severity is not within 0–1.
    """
    return PathologyPainter(seed, severity, clear_of_thresholds).draw()
