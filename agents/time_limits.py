"""How long one answer may take: sized to what is asked for and to how fast the server was so far.

Too short a limit turns a slow server's answers into a storm of retries, too long a one leaves a
hung request in its place for minutes. So:

    nothing measured yet   30 s + max_tokens at 4 tokens/s
    measured               10 s + twice the slowest of the last 256 answers, each stretched to
                           max_tokens; never more than the line above
    a try after a time-out twice that, then four times

A limit in the settings (`timeout_s`) replaces all of this and stays as it is.
"""

from collections import deque

GRACE_S = 30.0
"""For the prompt and a full queue, while nothing is known of the server."""
SLOWEST_TOKENS_PER_S = 4.0
"""What a request of many on a CPU makes at least; ours made 20 and more at 32 in flight."""
MEASURED_GRACE_S = 10.0
"""The same once the server is known."""
_ENOUGH = 32
_REMEMBERED = 256
_LOOK_EVERY = 16
"""Answers between two looks at all that are remembered."""
_ALLOWANCE = 2.0
_MAX_DOUBLINGS = 2


class TimeLimits:
    """The limits of one endpoint; learns from its answers."""

    def __init__(self, fixed_s: float | None = None) -> None:
        """Knows nothing yet.

        Args:
            fixed_s: the settings' own limit in seconds; None sizes it.
        """
        self._fixed_s = fixed_s
        self._answers: deque[tuple[float, int]] = deque(maxlen=_REMEMBERED)
        self._slowest: dict[int, float] = {}
        self._n_noted = 0

    def note(self, seconds: float, tokens: int) -> None:
        """Takes one answer's duration and length into account."""
        self._answers.append((seconds, tokens))
        self._n_noted += 1
        if self._n_noted % _LOOK_EVERY == 0:
            self._slowest.clear()

    def seconds(self, max_tokens: int, n_timed_out: int = 0) -> float:
        """Returns the limit for one request.

        Args:
            max_tokens: bound on the answer's length.
            n_timed_out: earlier tries of the same request that ran into their limit.

        Example:
            >>> TimeLimits().seconds(640), TimeLimits(120).seconds(640)
            (190.0, 120)
        """
        if self._fixed_s is not None:
            return self._fixed_s
        limit = GRACE_S + max_tokens / SLOWEST_TOKENS_PER_S
        if len(self._answers) >= _ENOUGH:
            limit = min(limit, MEASURED_GRACE_S + _ALLOWANCE * self._slowest_of(max_tokens))
        return limit * 2 ** min(n_timed_out, _MAX_DOUBLINGS)

    def _slowest_of(self, max_tokens: int) -> float:
        if max_tokens not in self._slowest:
            self._slowest[max_tokens] = max(
                s * max(1.0, max_tokens / max(1, n)) for s, n in self._answers
            )
        return self._slowest[max_tokens]
