"""What a run works off: each item with its own findings, or as a negative control (RULES 7).

shuffled-findings: the drafter sees another patient's knee, and the checks hold it against that one.
no-findings: the drafter sees the question without measurements and without slices; the checks read
the item's own.
always-majority: no model; the training patients' commonest grade, with the item's own findings.
All of them are compared with the item's own grades, and judged as a real run is.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from random import Random

from agents.batch import WorkItem
from agents.context import GraphContext
from agents.graph import prepare_task
from agents.majority_drafter import MajorityDrafter, write_majority_answer
from agents.scripted_model import ScriptedChatModel
from knee.discordance import discordant_components
from knee.errors import InputError
from knee.keys import content_hash, parse_volume_id
from knee.records import Control, Grounding, Item
from stages.run_plan import RunPlan
from store.items import Selection, select_volumes
from store.queries import count_left
from store.reader import StoreReader
from store.trial_rows import trial_volumes

NO_COUNTERPART = "no counterpart: another knee's finding cannot be shown in its place"
"""Why the shuffled control leaves an item out."""
NO_MAJORITY = "no box, or no grade of training patients to repeat"
"""Why the always-majority control leaves an item out."""
DISCORDANT = (
    "discordant: what was measured and the clinician's grade cannot both be held, and who is told "
    "the grade must not be asked to (`reads quality` shows them for review)"
)
"""Why a run of grounding `label_given` leaves an item out."""


def work_of(
    plan: RunPlan,
    store: StoreReader,
    run_id: str | None,
    drafter: MajorityDrafter | None = None,
    left_out: Counter[str] | None = None,
) -> Iterator[WorkItem]:
    """Yields what is left to do, volume by volume.

    Args:
        plan: the run.
        store: the store.
        run_id: leaves out what is finished in this run; None leaves out nothing.
        drafter: the always-majority control's drafter, which is told each item's answer.
        left_out: counts by reason the items that a control cannot draft; they stay pending.
    """
    left_out = Counter[str]() if left_out is None else left_out
    if plan.config.grounding is Grounding.LABEL_GIVEN:
        # Limited behind them: they stay pending, and a few would stop every limited start.
        unlimited = store.items(plan.selection._replace(limit=None), run_id=run_id)
        items: Iterator[Item] = islice(_concordant(unlimited, left_out), plan.selection.limit)
    else:
        items = store.items(plan.selection, run_id=run_id)
    if plan.control is Control.SHUFFLED_FINDINGS:
        return _shuffled(plan, store, items, left_out)
    if plan.control is Control.NO_FINDINGS:
        return (WorkItem(item, without_measurements(item), item) for item in items)
    if plan.control is Control.ALWAYS_MAJORITY:
        return _majority(plan, items, drafter, left_out)
    return (WorkItem(item) for item in items)


def count_work(plan: RunPlan, store: StoreReader, run_id: str) -> tuple[int, Counter[str]]:
    """Returns how many items a run has to draft, and by reason those that its control leaves out.

    The items of a control, and those whose drafter is told the grade, are gone through, for only
    their findings tell; others are counted.
    """
    left_out = Counter[str]()
    seeks = plan.control in (Control.SHUFFLED_FINDINGS, Control.ALWAYS_MAJORITY)
    if seeks or plan.config.grounding is Grounding.LABEL_GIVEN:
        return sum(1 for _ in work_of(plan, store, run_id, left_out=left_out)), left_out
    with store.reading() as con:
        return count_left(con, run_id, plan.selection), left_out


def without_measurements(item: Item) -> Item:
    """Returns an item as a drafter without findings sees it: question, region and box alone."""
    finding = item.finding.model_copy(update={"measurements": ()})
    return item.model_copy(update={"finding": finding, "sees_images": False})


def _concordant(items: Iterator[Item], left_out: Counter[str]) -> Iterator[Item]:
    """Yields the items that an honest text can be written on when the grade is told (RULES 6)."""
    for item in items:
        if discordant_components(item):
            left_out[DISCORDANT] += 1
        else:
            yield item


def _shuffled(
    plan: RunPlan, store: StoreReader, items: Iterator[Item], left_out: Counter[str]
) -> Iterator[WorkItem]:
    """Yields each item with the same question of another patient's knee, where that has evidence.

    Raises:
        InputError: there is only one patient.
    """
    with store.reading() as con:
        # Not only the knees of chosen items: the same ones stand in with a quota and without.
        volumes = select_volumes(con, plan.selection._replace(chosen=None))
        if plan.options.trial is not None:
            # A trial shows no test patient's knee, in another's place either (RULES 19).
            volumes = trial_volumes(con, volumes, like=plan.options.trial.volume_ids)
    others = {volume: _other_patients_volume(volume, volumes) for volume in volumes}
    shown: dict[int, Item] = {}
    shown_volume = ""
    for item in items:
        other = others[item.volume_id]
        if other != shown_volume:
            every = Selection(
                (other,),
                plan.selection.question_ids,
                pending_only=False,
                sees_images=plan.selection.sees_images,
            )
            shown = {entry.question_id: entry for entry in store.items(every)}
            shown_volume = other
        counterpart = shown.get(item.question_id)
        if counterpart is not None and _can_stand_in(counterpart, item):
            yield WorkItem(item, counterpart)
        else:
            left_out[NO_COUNTERPART] += 1


def _other_patients_volume(volume_id: str, volumes: list[str]) -> str:
    patient = parse_volume_id(volume_id).patient
    start = volumes.index(volume_id)
    for step in range(1, len(volumes)):
        other = volumes[(start + step) % len(volumes)]
        if parse_volume_id(other).patient != patient:
            return other
    raise InputError(
        f"the shuffled control needs volumes of two patients, there is only {patient!r}",
        "prepare more volumes",
    )


def _can_stand_in(other: Item, item: Item) -> bool:
    finding = other.finding
    if other.synthetic is not item.synthetic:
        return False  # a phantom says nothing in a patient's place, nor the other way (RULES 26)
    return finding.box is not None and all(
        finding.evidence_for(component).level in item.evidence_levels for component in item.asked
    )


def _majority(
    plan: RunPlan, items: Iterator[Item], drafter: MajorityDrafter | None, left_out: Counter[str]
) -> Iterator[WorkItem]:
    """Yields items whose majority is known; the drafter is told the answer as each is taken."""
    assert plan.majority is not None, "the plan of this control has the grades"
    context: GraphContext = plan.context(ScriptedChatModel(lambda _: ""), plan.run.run_id)
    for item in items:
        known = all((item.question.feature, c) in plan.majority for c in item.asked)
        if item.finding.box is None or not known:
            left_out[NO_MAJORITY] += 1
            continue
        if drafter is not None:
            task = prepare_task(item, context)
            seed = content_hash(f"{item.volume_id}|{item.question_id}")
            answer = write_majority_answer(
                item, task.prompt.planes, plan.majority, plan.calibration, Random(seed)
            )
            assert answer is not None, "box and grades are there"
            drafter.expect(task.messages, answer)
        yield WorkItem(item)
