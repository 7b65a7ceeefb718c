"""The texts of questions as a run asks them, for those who read the store."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import pyarrow as pa

from store.arrow_rows import TEXT, arrow
from store.inserting import exists, insert
from store.writer import StoreWriter


class QuestionWords(NamedTuple):
    """One question by the components that are asked."""

    question_id: int
    """1-69."""
    components: tuple[str, ...]
    """In the order of MOAKS."""
    text: str
    """The question."""


_ROWS: Final = pa.schema(
    {"run_id": TEXT, "question_id": pa.int16(), "components": pa.list_(TEXT), "text": TEXT}
)


def put_question_words(writer: StoreWriter, run_id: str, words: Iterable[QuestionWords]) -> None:
    """Puts the texts of a run; those that are there stay, for its items were asked with them."""
    with writer.transaction() as con:
        if not exists(con, "run_questions WHERE run_id = ?", [run_id]):
            rows = [{"run_id": run_id, **one._asdict()} for one in words]
            insert(con, "run_questions", arrow(rows, _ROWS))
