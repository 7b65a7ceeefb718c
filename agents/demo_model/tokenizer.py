# torch and transformers live in the environment of vLLM, not in the one that is type-checked.
# pyright: reportMissingImports=false, reportUnknownParameterType=false
"""The demo model's tokenizer: byte-level BPE over phrases, every digit a token of its own.

Digits stand alone so that a number is copied digit by digit and compared from its first digit on.
Sides, regions and the ids of measurements stand alone too, so that each is copied as one token.
What lies between them may merge across words and JSON punctuation: the grammar's phrases and the
answer's skeleton become single tokens, which keeps sequences short on a CPU.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from agents.demo_model.rules import HABITS
from knee.anatomy import Side
from knee.answers import StepName
from knee.findings import MeasurementName
from knee.questions import QUESTIONS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

VOCABULARY_SIZE = 2048
"""Tokens at most, the special ones and the 256 bytes included."""
MAX_TOKEN_CHARACTERS = 48
"""Longest phrase that may become one token."""
MIN_FREQUENCY = 20
"""A pair seen less often in the corpus is not merged."""

END = "<|end|>"
"""Closes every turn; also the end-of-sequence token."""
PAD = "<|pad|>"
"""Fills batches; never generated."""
ROLES = ("system", "user", "assistant")
"""Each role has a token `<|role|>` that opens its turn."""

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|{{ message['role'] }}|>{{ message['content'] }}" + END + "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""Turns one after the other, without any white space of its own."""

_CONTEXT_LENGTH = 2048
_SKELETON = (
    f'{{"{StepName.LOCATE.value}":{{"text":"',
    '","box":[',
    f']}},"{StepName.OBSERVE.value}":{{"text":"',
    f'"}},"{StepName.MEASURE.value}":{{"text":"',
    '","cites":["',
    '","',
    f'"]}},"{StepName.APPLY_SCALE.value}":{{"text":"',
    f'"}},"{StepName.CONCLUDE.value}":{{"text":"',
    '"},"grades":{',
    "}}",
)
"""What stands between the texts of an answer in the wire form of `knee.answers`."""


JUDGE_TOKENS = (
    "judge ",
    "rubric ",
    "asked ",
    "<steps>",
    "</steps>",
    "<draft>",
    "</draft>",
    *(f"{step.value}: " for step in StepName),
    "faithful complete ordered clinical no_history concise",
    '{"reason":"',
    '","grades":{',
    '{"faithful":{"reason":"given ',
    *(
        f'}},"{key}":{{"reason":"'
        for key in ("complete", "ordered", "clinical", "no_history", "concise")
    ),
    '","holds":',
    "true",
    "false",
    " same",
    " differs",
    "; written ",
    "; seen something",
    "; seen little",
    "; seen nothing",
    "; scaled ",
    "; concluded ",
    " all there",
    "in order",
    "in a reader's words",
    "nothing beside the findings",
    "nothing twice",
    " exchanged",
    " says so",
    " repeats itself",
    " not measured",
    " not scaled",
    " not concluded",
    "No value for ",
)
"""Tokens that the judge's prompts and answers add; no draft and no draft's prompt holds one."""


HABIT_REGIONS = tuple(
    sorted({q.region_name for q in QUESTIONS.values() if q.feature in {f for f, _ in HABITS}})
)
"""Regions that the tokenizer's own corpus did not hold: whole tokens too, to be copied as one."""


def isolated_pattern() -> str:
    """Returns the pattern of what never merges with its neighbours."""
    names = {q.region_name for q in QUESTIONS.values()} | {m.value for m in MeasurementName}
    names |= {side.value for side in Side} | {side.value.capitalize() for side in Side}
    longest_first = sorted([*names, *_SKELETON], key=len, reverse=True)
    return "|".join([r"\d", r"\n", *(re.escape(name) for name in longest_first)])


def train_tokenizer(texts: Iterable[str]) -> "PreTrainedTokenizerFast":
    """Returns a tokenizer trained on the texts, with the chat template.

    Args:
        texts: prompts and answers as they are sent and generated, without role tokens.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(isolated_pattern()), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    specials = [PAD, END, *(f"<|{role}|>" for role in ROLES)]
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY_SIZE,
            min_frequency=MIN_FREQUENCY,
            special_tokens=specials,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            max_token_length=MAX_TOKEN_CHARACTERS,
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[f"<|{role}|>" for role in ROLES],
        chat_template=CHAT_TEMPLATE,
        model_max_length=_CONTEXT_LENGTH,
        clean_up_tokenization_spaces=False,
    )


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerFast":
    """Returns the tokenizer saved in a weights folder."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(str(folder))


def add_late_tokens(tokenizer: "PreTrainedTokenizerFast") -> dict[str, list[int]]:
    """Adds what later runs need, in place; returns each new token with the ids it was made of.

    A tokenizer that has them is left alone, and the answer is empty.
    """
    from tokenizers import AddedToken

    known = tokenizer.get_vocab()
    new = [text for text in (*JUDGE_TOKENS, *HABIT_REGIONS) if text not in known]
    pieces = {text: tokenizer(text, add_special_tokens=False)["input_ids"] for text in new}
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in new])
    return pieces
