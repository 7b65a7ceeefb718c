"""What a comparison of two trials holds."""

from dataclasses import dataclass
from typing import NamedTuple

from knee.records import Control, Run
from stages.trial_figures import CodeRate, CostRow, GroupFigures, LeftOut, PairedItem


class ControlLine(NamedTuple):
    """A trial, or a negative control of it, beside chance."""

    trial: str
    """The trial's run id."""
    control: Control | None
    """Which control; None for the trial itself."""
    run_id: str
    """The run that the counts are of."""
    accepted: int
    """Items accepted."""
    drafted: int
    """Items drafted."""
    components_accepted: int
    """Components in accepted items."""
    components_drafted: int
    """Components drafted."""
    chance: float | None
    """Share of components that would agree by chance; None without any."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two trials on the items that both have."""

    run_a: Run
    """Run A."""
    run_b: Run
    """Run B."""
    pairs: list[PairedItem]
    """The items, ascending by key."""
    left_out: LeftOut
    """What is not compared."""
    groups: list[GroupFigures]
    """All items, then by feature."""
    codes: list[CodeRate]
    """Faults of first drafts."""
    costs: list[CostRow]
    """Means an item."""
    controls: tuple[ControlLine, ...]
    """Each trial, then its controls."""
    differences: tuple[tuple[str, str, str], ...]
    """What differs between the runs: name, of A, of B."""

    @property
    def n_synthetic(self) -> int:
        """Items of phantoms."""
        return sum(pair.a.synthetic for pair in self.pairs)
