"""How much memory there is for a model: of this machine, of a container, of its GPUs."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_NVIDIA_SMI_TIMEOUT_S = 20
_MIB = 2**20


class GpuMemory(NamedTuple):
    """One GPU's memory in bytes."""

    number: int
    """As `nvidia-smi` numbers it."""
    total: int
    """All of it."""
    free: int
    """What nobody holds now."""


def available_memory(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Returns the bytes that a new process may take; None where the system does not tell.

    The smaller one of what Linux calls available, and of what a container's limit leaves (control
    groups, version 2).
    """
    found: list[int] = []
    try:
        for line in meminfo.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
        limit = (cgroup / "memory.max").read_text(encoding="ascii").strip()
        if limit != "max":
            used = int((cgroup / "memory.current").read_text(encoding="ascii"))
            found.append(max(0, int(limit) - used + _reclaimable(cgroup)))
    except (OSError, ValueError):
        pass
    return min(found, default=None)


def _reclaimable(cgroup: Path) -> int:
    """Returns the bytes of files' pages in a control group, which the kernel drops when needed."""
    for line in (cgroup / "memory.stat").read_text(encoding="ascii").splitlines():
        if line.startswith("inactive_file "):
            return int(line.split()[1])
    return 0


def gpu_memory(env: Mapping[str, str]) -> tuple[GpuMemory, ...] | None:
    """Returns the GPUs that a server with this environment sees, None where there is none to see.

    A device file without a working `nvidia-smi` gives an empty tuple: a GPU of unknown memory.
    """
    command = shutil.which("nvidia-smi", path=env.get("PATH", os.defpath))
    if command is None:
        return () if Path("/dev/nvidia0").exists() else None
    fields = "--query-gpu=index,memory.total,memory.free"
    try:
        done = subprocess.run(
            [command, fields, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=_NVIDIA_SMI_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None  # It is installed, and no driver or device answers it.
    rows = [line.split(",") for line in done.stdout.splitlines() if line.count(",") == 2]
    try:
        gpus = tuple(GpuMemory(int(n), int(t) * _MIB, int(f) * _MIB) for n, t, f in rows)
    except ValueError:
        return ()
    return _visible(gpus, env.get("CUDA_VISIBLE_DEVICES")) or None


def _visible(gpus: tuple[GpuMemory, ...], chosen: str | None) -> tuple[GpuMemory, ...]:
    if chosen is None:
        return gpus
    names = [name.strip() for name in chosen.split(",") if name.strip()]
    if not all(name.isdecimal() for name in names):
        return gpus  # Named by UUID: which ones those are is the driver's to know.
    by_index = {gpu.number: gpu for gpu in gpus}
    return tuple(by_index[int(name)] for name in names if int(name) in by_index)
