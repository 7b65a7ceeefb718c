"""Volumes whose image is not at hand: some cost their items, all of them end the command."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from knee.errors import InputError
from stages.console import say

_MAX_NAMES: Final = 5


def refuse_without_images(paths: Mapping[str, Path | None]) -> None:
    """Tells which volumes have no image at hand.

    Args:
        paths: volume id to where its image should be; None for a volume without one.

    Raises:
        InputError: not one image is where it should be.
    """
    away = [name for name, path in paths.items() if path is None or not path.exists()]
    if paths and len(away) == len(paths):
        where = paths[away[0]]
        told = "it has none" if where is None else f"there is no {str(where)!r}"
        raise InputError(
            f"slices are shown, and none of {len(paths)} volume(s) has its image: of "
            f"{away[0]!r} {told}",
            "if the cohort was moved, say where it is with --cohort-root",
        )
    if away:
        more = "" if len(away) <= _MAX_NAMES else f" and {len(away) - _MAX_NAMES} more"
        say(
            f"{len(away)} of {len(paths)} volume(s) have no image at hand, their items will fail: "
            + ", ".join(away[:_MAX_NAMES])
            + more
        )
