"""The memory of a target that we launched: does it grow for as long as it is fuzzed?"""

from __future__ import annotations

from dataclasses import dataclass, field

_GROWTH, _BYTES = 1.5, 64 * 2**20


@dataclass(slots=True)
class Memory:
    """Samples of it: (frames sent until then, bytes)."""

    samples: list[tuple[int, int]] = field(default_factory=list)

    def note(self, frames: int, size: int | None) -> None:
        """Take a sample; None: it is not known."""
        if size is not None:
            self.samples.append((frames, size))

    def growth(self) -> tuple[int, int, int] | None:
        """(bytes at half time, bytes at the end, bytes per thousand frames between), once that says anything.

        What a server needs to get going is there by half time; what it keeps of every frame is not.
        """
        if len(self.samples) < 8:
            return None
        middle, last = self.samples[len(self.samples) // 2], self.samples[-1]
        frames = max(1, last[0] - middle[0])
        return middle[1], last[1], (last[1] - middle[1]) * 1000 // frames

    @property
    def grows(self) -> bool:
        """Whether it grew by half, and by much, in the second half."""
        growth = self.growth()
        return growth is not None and growth[1] > growth[0] * _GROWTH and growth[1] - growth[0] > _BYTES
