# torch and transformers live in the environment of vLLM, not in the one that is type-checked.
# pyright: reportMissingImports=false, reportUnknownParameterType=false
"""Average two trainings of the demo model: `python -m agents.demo_model.average OLD NEW --out DIR`.

A run that practises one thing forgets some of another. Between its weights and those it began with
lies a point that keeps both (Wortsman et al., 2022, robust fine-tuning): here the average of
each weight.
"""

import argparse
import json
import sys
from pathlib import Path

from agents.demo_model.tokenizer import load_tokenizer
from agents.demo_model.train import load_weights, save_model
from knee.errors import InputError, exit_code_of


def average_weights(old: Path, new: Path, share: float, out: Path) -> None:
    """Writes the average of two weights folders, with the tokenizer and a log.

    Args:
        old: the weights that the other ones were trained from.
        new: the weights trained from them.
        share: of the new ones, 0 to 1.
        out: folder to write.

    Raises:
        InputError: the share is out of range, or the two are not of one shape.
    """
    if not 0 <= share <= 1:
        raise InputError(f"share out of range: {share!r}", "give 0 to 1")
    first, second = load_weights(old), load_weights(new)
    theirs = dict(second.named_parameters())
    # Not the state's entries, among which the tied embedding stands twice.
    for name, parameter in first.named_parameters():
        weight = parameter.data
        if name not in theirs or theirs[name].shape != weight.shape:
            raise InputError(
                f"{str(old)!r} and {str(new)!r} differ in {name!r}",
                "average weights of which one was trained from the other",
            )
        weight.copy_((1 - share) * weight + share * theirs[name].data)
    save_model(first, load_tokenizer(new), out)
    log = {"average_of": [old.name, new.name], "share_of_the_second": share}
    (out / "training.json").write_text(json.dumps(log, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Averages and saves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path, help="weights folder that training began with")
    parser.add_argument("new", type=Path, help="weights folder that came of it")
    parser.add_argument("--share", type=float, default=0.7, help="of the new weights (0.7)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the average")
    chosen = parser.parse_args()
    average_weights(chosen.old, chosen.new, chosen.share, chosen.out)


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
