"""Items that `failed` in an earlier start of a run are tried again, bounded and traceable.

`failed` is the server's doing (CONTRACTS), so resuming a run takes such an item up again: three
tries in all, then it stays failed. The later outcome takes the earlier one's place and carries it
along: its attempts come first, its message stands under `error`, and the code `retried.1` or
`retried.2` says how many tries failed before. What has no box is not tried again, nor what a
`recheck` has settled.
"""

import re
from collections.abc import Mapping

from knee.keys import ItemKey
from knee.records import Attempt, ItemOutcome, retried_code
from store.items import failed_keys
from store.journal import item_key
from store.loading import load_outcomes
from store.writer import StoreWriter

_EARLIER = re.compile(r"try \d+ failed: ")


class EarlierTries:
    """The failed outcomes of a run that are tried again."""

    def __init__(self, outcomes: Mapping[ItemKey, ItemOutcome]) -> None:
        """Holds the failed outcomes by item."""
        self._outcomes = dict(outcomes)

    def __len__(self) -> int:
        return len(self._outcomes)

    def amend(self, outcome: ItemOutcome) -> ItemOutcome:
        """Returns an outcome with what its earlier tries left; as it is when there were none."""
        earlier = self._outcomes.get(item_key(outcome))
        if earlier is None:
            return outcome
        offset = len(earlier.attempts)
        judgement = outcome.judgement
        return outcome.model_copy(
            update={
                "codes": (*outcome.codes, retried_code(earlier.n_retries + 1)),
                "attempts": (*earlier.attempts, *(_later(a, offset) for a in outcome.attempts)),
                "error": _messages(earlier, outcome),
                "judgement": judgement
                and judgement.model_copy(update={"attempt_no": judgement.attempt_no + offset}),
            }
        )


def load_earlier_tries(writer: StoreWriter, run_id: str) -> EarlierTries:
    """Returns the failed outcomes of a run that a start of it tries again."""
    with writer.reading() as con:
        keys = failed_keys(con, run_id)
        outcomes = load_outcomes(con, run_id, sorted(keys)) if keys else ()
        return EarlierTries({item_key(outcome): outcome for outcome in outcomes})


def _later(attempt: Attempt, offset: int) -> Attempt:
    return attempt.model_copy(update={"attempt_no": attempt.attempt_no + offset})


def _messages(earlier: ItemOutcome, outcome: ItemOutcome) -> str:
    """Returns the messages of all tries that failed: a line for each earlier one, then its own."""
    lines = (earlier.error or "; ".join(earlier.codes)).splitlines()
    before = [line for line in lines if _EARLIER.match(line)]
    last = " ".join(line for line in lines if not _EARLIER.match(line))
    before.append(f"try {earlier.n_retries + 1} failed: {last}")
    return "\n".join(before if outcome.error is None else [*before, outcome.error])
