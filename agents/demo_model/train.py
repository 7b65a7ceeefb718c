# torch and transformers live in the environment of vLLM, not in the one that is type-checked.
# pyright: reportMissingImports=false, reportUnknownParameterType=false
"""Train the demo model: `python -m agents.demo_model.train --findings FILE --out DIR`.

Runs in the environment that holds torch and transformers (`.venv-vllm`), on the CPU. Everything
that decides the result is in the log beside the weights: seed, tokens, minutes, loss curve.
"""

import argparse
import csv
import json
import logging
import math
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from agents.demo_model.corpus import (
    FEATURE_WEIGHTS,
    WEAK_FEATURE_WEIGHTS,
    Example,
    bases_of,
    build_examples,
    read_findings,
    refuse_held_out,
)
from agents.demo_model.embeddings import (
    grow_embeddings,
    separate_menisci,
    separate_sides,
    side_weights,
)
from agents.demo_model.judge_corpus import (
    RUBRIC_FAULTS,
    WEAK_RUBRIC_FAULTS,
    build_judge_examples,
)
from agents.demo_model.tokenizer import (
    END,
    add_late_tokens,
    load_tokenizer,
    train_tokenizer,
)
from knee.calibration import load_calibration
from knee.errors import exit_code_of

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

_LOG = logging.getLogger(__name__)
CALIBRATION = Path(__file__).parents[2] / "configs" / "calibration-demo.toml"
"""The phantom's own cut-offs."""
_SEPARATE_HELP = "move the embeddings of right and left apart before training"
_MENISCI_HELP = "move the embeddings of the parts of both menisci apart before training"
_PRACTISE_HELP = "draw parts of a meniscus, ligaments and denied findings more often"
_IGNORED = -100
"""Label of a token that the loss leaves out (PyTorch's convention)."""


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """What can be set; the defaults made the bundled weights."""

    seed: int = 20261123
    minutes: float = 50.0
    """Wall time of the optimiser loop; the learning rate decays to its end within it."""
    max_examples: int = 60_000
    tokens_per_batch: int = 1536
    learning_rate: float = 1.5e-3
    warmup: float = 0.03
    """Share of the time in which the learning rate rises."""
    weight_decay: float = 0.05
    hidden: int = 256
    layers: int = 6
    heads: int = 8
    intermediate: int = 704
    side_weight: float = 8.0
    """Weight of the words right and left in the loss. At 1 they are two tokens of eighty, and a
    run of 29 minutes had not learned to read them when it had learned all else."""
    judge_share: float = 0.6
    """Share of examples that are a judge's; the others are drafts."""
    practise_weak: bool = False
    """Draw what was weak more often (`WEAK_FEATURE_WEIGHTS`, `WEAK_RUBRIC_FAULTS`), and weigh
    region names and what a judge has seen like the sides."""
    threads: int = 1
    """One: on a shared machine PyTorch's threads wait for each other at every barrier."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example as tokens."""

    tokens: list[int]
    answer_start: int
    """Index of the first token of the answer; the loss begins there."""


def encode_example(example: Example, tokenizer: "PreTrainedTokenizerFast") -> Encoded:
    """Returns prompt and answer as tokens; the answer ends with the end token."""
    prompt = tokenizer.apply_chat_template(
        [message.model_dump() for message in example.messages],
        tokenize=False,
        add_generation_prompt=True,
    )
    head = tokenizer(str(prompt), add_special_tokens=False)["input_ids"]
    tail = tokenizer(example.answer + END, add_special_tokens=False)["input_ids"]
    return Encoded(tokens=[*head, *tail], answer_start=len(head))


def make_batches(
    encoded: list[Encoded], tokens_per_batch: int, rng: Random
) -> Iterator[list[Encoded]]:
    """Yields batches of similar length, in random order, each example once."""
    order = sorted(encoded, key=lambda e: (len(e.tokens), rng.random()))
    batches: list[list[Encoded]] = [[]]
    for example in order:
        if len(example.tokens) * (len(batches[-1]) + 1) > tokens_per_batch and batches[-1]:
            batches.append([])
        batches[-1].append(example)
    rng.shuffle(batches)
    yield from batches


def pad_batch(batch: list[Encoded], pad: int) -> tuple["Tensor", "Tensor"]:
    """Returns tokens and labels, shape (examples, longest); prompt and padding are ignored."""
    import torch

    longest = max(len(e.tokens) for e in batch)
    tokens = torch.full((len(batch), longest), pad)
    labels = torch.full((len(batch), longest), _IGNORED)
    for row, example in enumerate(batch):
        ids = torch.tensor(example.tokens)
        tokens[row, : len(ids)] = ids
        labels[row, example.answer_start : len(ids)] = ids[example.answer_start :]
    return tokens, labels


def build_model(
    tokenizer: "PreTrainedTokenizerFast", settings: TrainingSettings
) -> "LlamaForCausalLM":
    """Returns an untrained Llama of the given size with tied embeddings."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=settings.hidden,
            intermediate_size=settings.intermediate,
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads,
            num_key_value_heads=settings.heads,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            attn_implementation="sdpa",
        )
    )


def learning_rate_at(progress: float, settings: TrainingSettings) -> float:
    """Returns the learning rate at a share of the training: linear rise, then a cosine to 2 %."""
    if progress < settings.warmup:
        return settings.learning_rate * (progress + 1e-3) / settings.warmup
    rest = (progress - settings.warmup) / (1 - settings.warmup)
    return settings.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(rest, 1.0))))


def answer_loss(
    model: "LlamaForCausalLM", batch: tuple["Tensor", "Tensor"], weights: "Tensor"
) -> "Tensor":
    """Returns the weighted cross-entropy of the answers' tokens, in nats."""
    import torch

    tokens, labels = batch
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(input_ids=tokens, use_cache=False).logits
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), weight=weights
    )


def train_model(
    model: "LlamaForCausalLM",
    encoded: list[Encoded],
    tokenizer: "PreTrainedTokenizerFast",
    settings: TrainingSettings,
) -> list[dict[str, float]]:
    """Trains in place until the examples or the minutes are used up; returns the loss curve."""
    import torch

    pad = int(tokenizer.pad_token_id)
    weights = side_weights(tokenizer, settings.side_weight, settings.practise_weak)
    rng = Random(settings.seed)
    batches = list(make_batches(encoded, settings.tokens_per_batch, rng))
    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=settings.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=settings.weight_decay,
        fused=True,
    )
    curve: list[dict[str, float]] = []
    started, seen = time.monotonic(), 0
    model.train()
    for step, batch in enumerate(batches):
        elapsed = time.monotonic() - started
        progress = max(step / len(batches), elapsed / (settings.minutes * 60))
        if progress >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = learning_rate_at(progress, settings)
        loss = answer_loss(model, pad_batch(batch, pad), weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        seen += sum(len(e.tokens) for e in batch)
        curve.append(
            {
                "step": step,
                "seconds": round(elapsed, 1),
                "tokens": seen,
                "loss": round(loss.item(), 5),
            }
        )
        if step % 50 == 0:
            _LOG.info("step %d, %.0f s, %d tokens, loss %.4f", step, elapsed, seen, loss.item())
    return curve


def load_weights(folder: Path) -> "LlamaForCausalLM":
    """Returns saved weights in float32, to go on training from."""
    import torch
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)


def save_model(model: "LlamaForCausalLM", tokenizer: "PreTrainedTokenizerFast", out: Path) -> None:
    """Saves weights (bfloat16 safetensors), tokenizer and chat template, as vLLM loads them."""
    import torch

    out.mkdir(parents=True, exist_ok=True)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)


def write_log(
    out: Path, settings: TrainingSettings, curve: list[dict[str, float]], facts: dict[str, Any]
) -> None:
    """Writes `training.json` (settings and facts) and `loss.csv` (the curve) beside the weights."""
    record = {"settings": asdict(settings), **facts, "machine": platform.machine()}
    (out / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    with (out / "loss.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=["step", "seconds", "tokens", "loss"])
        writer.writeheader()
        # Every tenth step is enough to draw the curve.
        writer.writerows(curve[::10])


def parse_arguments() -> tuple[argparse.Namespace, TrainingSettings]:
    """Returns the command line and the settings in it."""
    defaults = TrainingSettings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--findings", type=Path, required=True, help="of training phantoms")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--minutes", type=float, default=defaults.minutes)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--threads", type=int, default=defaults.threads)
    parser.add_argument("--init", type=Path, default=None, help="go on from this weights folder")
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    parser.add_argument("--examples", type=int, default=defaults.max_examples)
    parser.add_argument("--tokens-per-batch", type=int, default=defaults.tokens_per_batch)
    parser.add_argument("--judge-share", type=float, default=defaults.judge_share)
    parser.add_argument("--separate-sides", action="store_true", help=_SEPARATE_HELP)
    parser.add_argument("--separate-menisci", action="store_true", help=_MENISCI_HELP)
    parser.add_argument("--practise-weak", action="store_true", help=_PRACTISE_HELP)
    parser.add_argument("--side-weight", type=float, default=defaults.side_weight)
    chosen = parser.parse_args()
    return chosen, TrainingSettings(
        seed=chosen.seed,
        minutes=chosen.minutes,
        threads=chosen.threads,
        learning_rate=chosen.learning_rate,
        max_examples=chosen.examples,
        side_weight=chosen.side_weight,
        judge_share=chosen.judge_share,
        tokens_per_batch=chosen.tokens_per_batch,
        practise_weak=chosen.practise_weak,
    )


def main() -> None:
    """Trains and saves the model."""
    import torch

    chosen, settings = parse_arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    calibration = load_calibration(CALIBRATION)
    volumes = read_findings(chosen.findings)
    refuse_held_out(volumes)
    bases = bases_of(volumes, calibration)
    rng = Random(settings.seed)
    n_judge = round(settings.judge_share * settings.max_examples)
    features = WEAK_FEATURE_WEIGHTS if settings.practise_weak else FEATURE_WEIGHTS
    faults = WEAK_RUBRIC_FAULTS if settings.practise_weak else RUBRIC_FAULTS
    examples = [
        *build_examples(bases, calibration, settings.max_examples - n_judge, rng, features),
        *build_judge_examples(bases, calibration, n_judge, rng, features, faults),
    ]
    tokenizer = (
        train_tokenizer(text for e in examples[:6000] for text in (e.messages[0].content, e.answer))
        if chosen.init is None
        else load_tokenizer(chosen.init)
    )
    pieces = add_late_tokens(tokenizer) if n_judge else {}
    encoded = [encode_example(example, tokenizer) for example in examples]
    model = build_model(tokenizer, settings) if chosen.init is None else load_weights(chosen.init)
    if chosen.init is not None and pieces:
        grow_embeddings(model, tokenizer, pieces, settings.seed)
    if chosen.separate_sides:
        separate_sides(model, tokenizer, settings.seed)
    if chosen.separate_menisci:
        separate_menisci(model, tokenizer, settings.seed)
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    _LOG.info("%d examples, %d parameters, %d tokens", len(encoded), n_parameters, len(tokenizer))
    curve = train_model(model, encoded, tokenizer, settings)
    save_model(model, tokenizer, chosen.out)
    facts = {
        "continues_training_of": None if chosen.init is None else chosen.init.name,
        "volumes": len(volumes),
        "examples": len(encoded),
        "parameters": n_parameters,
        "vocabulary": len(tokenizer),
        "steps": len(curve),
        "tokens": curve[-1]["tokens"],
        "minutes": round(curve[-1]["seconds"] / 60, 1),
        "final_loss": round(sum(c["loss"] for c in curve[-100:]) / len(curve[-100:]), 4),
    }
    write_log(chosen.out, settings, curve, facts)
    _LOG.info("saved to %s: %s", chosen.out, facts)


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
