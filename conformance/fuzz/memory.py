"""The memory of a target that we launched: does it grow for as long as it is fuzzed?"""

from __future__ import annotations

from dataclasses import dataclass, field

_MB = 2**20
_GROWTH, _BYTES = 1.25, 64 * _MB
_FEWEST = 4  # samples that say anything


@dataclass(slots=True)
class Memory:
    """Samples of it: (frames, or steps of sessions, sent until then, and bytes)."""

    samples: list[tuple[int, int]] = field(default_factory=list)

    def note(self, count: int, size: int | None) -> None:
        """Take a sample; None: it is not known."""
        if size is not None:
            self.samples.append((count, size))

    def growth(self) -> tuple[int, int, int] | None:
        """(bytes after half of the frames, at the end, and for a thousand between), once that says anything.

        What a server needs to get going is there by then; what it keeps of every frame is not.
        """
        if len(self.samples) < _FEWEST:
            return None
        last = self.samples[-1]
        middle = min(self.samples, key=lambda sample: abs(sample[0] - last[0] / 2))
        frames = max(1, last[0] - middle[0])
        return middle[1], last[1], (last[1] - middle[1]) * 1000 // frames

    def said(self, what: str) -> str:
        """How it grew, in words.

        Args:
            what: was counted.
        """
        half, last, each = self.growth() or (0, 0, 0)
        return (
            f"the memory of the launched target grew from {half // _MB} MB after half of all {what} "
            f"to {last // _MB} MB, by {each:,} bytes for a thousand"
        )

    def megabytes(self, most: int = 20) -> list[float]:
        """Some of the samples, the first and the last among them."""
        values, last = [size for _, size in self.samples], len(self.samples) - 1
        if len(values) > most:
            values = [values[round(index * last / (most - 1))] for index in range(most)]
        return [round(value / _MB, 1) for value in values]

    @property
    def grows(self) -> bool:
        """Whether it grew by a quarter, and by much, in the second half."""
        growth = self.growth()
        return growth is not None and growth[1] > growth[0] * _GROWTH and growth[1] - growth[0] > _BYTES
