"""What `bench score` writes: every figure with its counts, its interval, and its baselines."""

from typing import Self

from pydantic import Field

from eval.agreement import Statistic
from eval.bench_records import BenchManifest, PredictionRun, ReaderKappa
from eval.grade_baselines import GradeBaseline
from eval.localization import BoxBaseline, BoxMetric
from eval.severity import Form, Metric, Over
from knee.calls import Record
from knee.findings import BoxSource
from knee.moaks import Component, Feature, ScaleType

SCORES_VERSION = 2
"""Of the scores file."""


class Figure(Record):
    """One number with its 95 % interval over patients, or why there is none."""

    value: float | None
    """None where it is not defined."""
    reason: str | None = None
    """Why it is not defined."""
    low: float | None = None
    """Lower end of the interval."""
    high: float | None = None
    """Upper end."""
    no_interval: str | None = None
    """Why there is no interval."""

    @classmethod
    def of(cls, statistic: Statistic) -> Self:
        """Returns the record of a statistic."""
        return cls(**statistic._asdict())


class GradeFigure(Figure):
    """One figure of grading."""

    metric: Metric
    """Which."""
    over: Over
    """Over all components, or those with a finding."""
    form: Form
    """Whether an answer without a grade is wrong or left out."""
    baselines: dict[GradeBaseline, float | None] = Field(default_factory=dict)
    """The same figure of each baseline, None where it is not defined."""


class Stratum(Record):
    """Which part of the bench."""

    dimension: str
    """`all`, `part`, `visit`, `readprj`, `box_source`, `segmenter_trained_on` or `question`."""
    value: str
    """Its value; a component read in several projects counts in each of them."""


class Counts(Record):
    """Of what a row is."""

    n_total: int
    """Components or items asked for."""
    n_scored: int
    """... with a grade, or a box."""
    n_unparsed: int
    """An answer came, and none could be read of it; off-scale grades are in here too."""
    n_off_scale: int = 0
    """Of the unparsed: a grade that the scale does not have."""
    n_failed: int
    """No answer came; items that were never answered are in here too."""
    n_missing: int
    """Of the failed: never answered."""
    n_patients: int
    """Patients."""


class GradeRow(Record):
    """Grading of one component in one part of the bench."""

    stratum: Stratum
    """The part."""
    feature: Feature
    """What is graded."""
    component: Component
    """The component."""
    question_id: int | None = None
    """Of rows of a single question."""
    scale_type: ScaleType
    """Says which figures there are."""
    counts: Counts
    """Of what."""
    n_positive: int
    """Components with a finding."""
    n_positive_scored: int
    """... that were answered with a grade."""
    confusion: tuple[tuple[int, ...], ...]
    """True grade by answered grade; the last column is without a grade."""
    figures: tuple[GradeFigure, ...]
    """The figures."""


class AmbiguousRow(Record):
    """Components whose reads gave different grades: credit for either."""

    feature: Feature
    """What is graded."""
    component: Component
    """The component."""
    counts: Counts
    """Of what."""
    accepted: Figure
    """Share with a grade that a read gave; without a grade is wrong."""
    accepted_scored: Figure
    """The same of those with a grade."""
    baselines: dict[GradeBaseline, float | None]
    """The first figure of each baseline; random is the mean share of grades that count."""


class BoxFigure(Figure):
    """One figure of localisation."""

    metric: BoxMetric
    """Which."""
    form: Form
    """Whether an answer without a box overlaps with nothing or is left out."""
    n: int
    """Items that it is over."""
    baselines: dict[BoxBaseline, float | None] = Field(default_factory=dict)
    """The same figure of boxes without looking, and of the best box that the slices allow."""


class BoxRow(Record):
    """Localisation of one box source, of all its items or of a part."""

    box_source: BoxSource
    """Where the reference boxes come from; sources are never pooled."""
    stratum: Stratum
    """The part."""
    feature: Feature | None = None
    """Of rows of one feature."""
    question_id: int | None = None
    """Of rows of a single question."""
    counts: Counts
    """Of what."""
    figures: tuple[BoxFigure, ...]
    """The figures."""
    iou_histogram: tuple[int, ...]
    """Items by IoU in equal bins from 0 to 1; without a box is 0."""


class Headline(Record):
    """One figure for a model table: the mean over all (feature, component) of a part."""

    stratum: Stratum
    """`all` or the balanced part."""
    frequent: bool
    """Whether only grades count that at least ten patients have: those can have an interval."""
    n_cells: int
    """(feature, component) that it is a mean of: those where the figure is defined."""
    counts: Counts
    """Of the components of the part."""
    n_positive: int
    """Components with a finding."""
    n_positive_scored: int
    """... that were answered with a grade."""
    figure: GradeFigure
    """The mean."""


class ReasoningScore(Record):
    """What deterministic checks find in the texts before the grades."""

    n_chosen: int
    """Items whose text would be checked, the same for every model."""
    n_checked: int
    """... that have a text and a grade."""
    n_sound: int
    """... without any issue."""
    codes: dict[str, int]
    """Issue to texts with it."""


class PairedScore(Record):
    """One comparison of two models on the same items."""

    feature: Feature | None
    """None for all features together."""
    box_source: BoxSource | None = None
    """Of localisation; None for grading."""
    a: Figure
    """Of the predictions scored."""
    b: Figure
    """Of the other predictions."""
    difference: Figure
    """B - A."""
    n: int
    """Components, or boxes."""
    n_patients: int
    """Patients."""
    n_differing: int
    """Patients in whom the models differ."""
    p: float | None
    """Two-sided, by swapping the models of whole patients."""
    p_holm: float | None
    """Adjusted for the number of features by Holm; None for all features together."""


class BaselineGain(Record):
    """The model less one baseline, over what the baseline answers; primary form."""

    baseline: GradeBaseline | BoxBaseline
    """Which baseline."""
    metric: Metric | BoxMetric
    """Macro recall of grades, IoU of boxes."""
    over: Over
    """Over all components, or those with a finding."""
    feature: Feature | None
    """None for all features together."""
    box_source: BoxSource | None = None
    """Of localisation; None for grading."""
    frequent: bool = False
    """Whether only grades count that at least ten patients have."""
    n: int
    """Components, or boxes, that the baseline answers."""
    n_scored: int
    """... that the model answered."""
    n_positive: int | None = None
    """... with a finding; None for boxes."""
    n_patients: int
    """Patients of them."""
    model: Figure
    """The model's figure over them."""
    of_baseline: Figure
    """The baseline's."""
    difference: Figure
    """The model's less the baseline's: both are resampled together."""
    n_differing: int
    """Patients in whom they differ."""
    p: float | None
    """Two-sided, by swapping model and baseline of whole patients."""
    p_holm: float | None
    """Adjusted for the number of features by Holm; None for all features together."""


class Comparison(Record):
    """Two models on the same bench."""

    other: PredictionRun
    """The other model, B."""
    grading: tuple[PairedScore, ...]
    """Macro recall, primary form: mean over the components and grades of a feature."""
    localisation: tuple[PairedScore, ...]
    """Mean IoU, primary form, by box source and feature; empty unless both give boxes."""


class BenchScores(Record):
    """`scores.json`."""

    scores_version: int
    """`SCORES_VERSION` of the program that wrote it."""
    bench: BenchManifest
    """The bench."""
    run: PredictionRun
    """The model and how it was asked."""
    items: Counts
    """Of the items as a whole."""
    n_resamples: int
    """Resamples of patients behind each interval."""
    headlines: tuple[Headline, ...]
    """For a model table."""
    grading: tuple[GradeRow, ...]
    """By stratum, feature and component."""
    ambiguous: tuple[AmbiguousRow, ...]
    """Components with different reads."""
    localisation: tuple[BoxRow, ...]
    """By box source; empty unless the setting asks for boxes."""
    gains: tuple[BaselineGain, ...]
    """The model against each baseline, paired over patients."""
    reasoning: ReasoningScore
    """Of the texts."""
    readers: tuple[ReaderKappa, ...]
    """How far clinicians agree with each other."""
    notes: tuple[str, ...]
    """What a reader of the figures must know."""
    comparison: Comparison | None = None
    """With a second model."""
