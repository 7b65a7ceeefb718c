"""`--quota` of a command: the items to draft, chosen now or kept from when the run was started."""

from collections.abc import Sequence

from knee.errors import InputError
from knee.keys import JsonValue
from knee.questions import N_QUESTIONS
from knee.quotas import parse_quotas
from stages.console import say, show_table
from stages.quota_choice import candidates, choose
from store.items import Selection
from store.quota_rows import QuotaChoice, QuotaProgress, QuotaRequest, load_choice
from store.reader import StoreReader

NO_QUOTA = "none"
"""`--quota none` drafts what the quotas of a run left pending."""


def plan_quota(
    texts: Sequence[str], selection: Selection, run_id: str | None, store: StoreReader
) -> QuotaChoice | None:
    """Returns the items to draft; None where no quota holds.

    Args:
        texts: the `--quota` options; without any, a run keeps the quotas it had last.
        selection: what they choose from.
        run_id: the run that is resumed; None for a new one.
        store: the store.

    Raises:
        InputError: a quota cannot be read, or no item matches any.
    """
    if NO_QUOTA in (text.strip() for text in texts):
        if len(texts) > 1:
            raise InputError(
                f"--quota {NO_QUOTA!r} and other quotas at once: {list(texts)!r}",
                f"--quota {NO_QUOTA} lifts the quotas of a run",
            )
        return None
    if not texts:
        return None if run_id is None else _kept(run_id, None, store)
    quotas = parse_quotas(texts)
    request = QuotaRequest(
        tuple(quota.text for quota in quotas), _ids_text(selection.question_ids), selection.visit
    )
    kept = None if run_id is None else _kept(run_id, request, store)
    if kept is not None:
        return kept
    whole = selection._replace(limit=None)
    found = list(candidates(store.items(whole), quotas))
    if not found:
        raise InputError(
            f"no item that can be drafted matches {', '.join(request.quotas)!r}",
            "`generate --dry-run` without --quota shows what can be drafted, `sql` the grades: "
            "FROM clinician_grades",
        )
    drafted = () if run_id is None else store.finished_keys(run_id)
    return choose(found, quotas, request, frozenset(drafted))


def _kept(run_id: str, request: QuotaRequest | None, store: StoreReader) -> QuotaChoice | None:
    with store.reading() as con:
        return load_choice(con, run_id, request)


def _ids_text(question_ids: tuple[int, ...] | None) -> str | None:
    """Returns the ids as they are kept, None where they are all."""
    if question_ids is None or len(question_ids) == N_QUESTIONS:
        return None
    return ",".join(str(number) for number in question_ids)


def show_choice(choice: QuotaChoice, *, to_stdout: bool = False) -> None:
    """Says which quotas hold, and which cannot be filled."""
    show_table(
        "quotas: items that count for each (drafted ones, not accepted ones)",
        ["quota", "wanted", "candidates", "chosen"],
        [list(count) for count in choice.counts],
        to_stdout=to_stdout,
    )
    for count in choice.counts:
        if count.chosen < count.wanted:
            say(f"quota {count.quota!r} cannot be filled: {count.available} item(s) match")
    origin = "as chosen before" if choice.choice_no is not None else "chosen now"
    say(
        f"{len(choice.items)} item(s), {origin}; all others stay pending (--quota none drafts them)"
    )


QUOTA_TITLE = "chosen by quota, by the clinician's grade: not a sample of all items"
"""Above the quotas wherever a run is shown."""
QUOTA_COLUMNS = ("quota", "wanted", "candidates", "chosen", "patients", "drafted", "accepted")
"""Columns of `quota_rows`."""


def quota_rows(progress: Sequence[QuotaProgress]) -> list[list[object]]:
    """Returns what became of each quota; a run with several choices numbers them."""
    several = len({row.choice_no for row in progress}) > 1
    return [
        [
            (f"{row.choice_no}: " if several else "") + row.quota + _within(row),
            row.wanted,
            row.available,
            row.chosen,
            row.n_patients,
            row.n_drafted,
            row.n_accepted,
        ]
        for row in progress
    ]


def _within(row: QuotaProgress) -> str:
    parts = [row.visit] if row.visit else []
    parts += ["some questions"] if row.questions else []
    return f" ({', '.join(parts)})" if parts else ""


def choice_json(choice: QuotaChoice) -> JsonValue:
    """Returns the quotas and how far they are filled, for `--json`."""
    return {
        "quotas": [dict(count._asdict()) for count in choice.counts],
        "items": len(choice.items),
        "kept": choice.choice_no is not None,
    }
