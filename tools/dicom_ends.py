"""Whether slices are missing at the beginning or end of a DICOM series, where no gap shows it.

Two tags tell, neither of which needs to be there: Images in Acquisition (N), and Instance Numbers,
which run from 1 to N. Of several echoes in series of their own each has every s-th number, as a
24-slice series of 8 echoes has 4, 12, ..., 188 of 192. So what is missing before the first is
(first - 1) // s, and after the last (N - last) // s. As many missing ones as there are slices may
as well be other echoes or stacks, numbered one after the other: that is a note, not an error.
"""

from collections.abc import Sequence

import numpy as np

from knee.errors import InputError
from tools.dicom_files import SliceHeader

ENDS_UNKNOWN = (
    "its headers do not say how many images it has (Images in Acquisition): slices missing at "
    "the beginning or end would not show"
)
"""The note of a series of which nothing can be told."""


def check_ends(slices: Sequence[SliceHeader]) -> tuple[str, ...]:
    """Returns notes on what may be missing at the ends of a series; none when it is whole.

    Args:
        slices: all of one series, at least two.

    Raises:
        InputError: Instance Numbers and Images in Acquisition say that slices are missing.
    """
    n_slices, n_images = len(slices), _n_images(slices)
    numbers = _numbers(slices)
    step = _even_step(numbers)
    if n_images is None:
        if step and numbers[0] > step:
            return (f"its Instance Numbers begin at {numbers[0]}: slices may be missing",)
        return (ENDS_UNKNOWN,)
    if step and numbers[0] >= 1 and numbers[-1] <= n_images:
        before, after = (numbers[0] - 1) // step, (n_images - numbers[-1]) // step
        if 0 < before + after < n_slices:
            raise InputError(
                f"{before + after} slice(s) are missing from the ends of the series: its "
                f"{n_slices} files have Instance Numbers {numbers[0]} to {numbers[-1]}, the "
                f"headers say {n_images} images",
                "copy the whole series again; if it is whole, convert it with dcm2niix",
            )
        if before + after == 0:
            return ()
    elif n_slices >= n_images:
        return ()
    return (
        f"its headers say {n_images} images in the acquisition, the series has {n_slices} files: "
        "other echoes, or slices missing at its ends",
    )


def _n_images(slices: Sequence[SliceHeader]) -> int | None:
    """Images in Acquisition, where all slices say the same."""
    said = {header.n_images for header in slices}
    only = said.pop() if len(said) == 1 else ""
    return int(only) if only.isdecimal() and int(only) > 0 else None


def _numbers(slices: Sequence[SliceHeader]) -> list[int]:
    """Instance Numbers, ascending; empty unless all slices have one."""
    said = [header.instance for header in slices]
    return sorted(int(text) for text in said) if all(text.isdecimal() for text in said) else []


def _even_step(numbers: Sequence[int]) -> int:
    """The one difference between successive numbers; 0 where there is none or they differ."""
    steps = {int(step) for step in np.diff(np.asarray(numbers, dtype=np.int64))}
    return steps.pop() if len(steps) == 1 else 0
