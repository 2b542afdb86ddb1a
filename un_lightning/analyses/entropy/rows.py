"""Which row of the sums belongs to which intervention."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rows:
    """Where the result of each intervention stands; row 0 is the untouched run."""

    values: int
    """Values at which each neuron is fixed."""
    frequency: bool

    @property
    def width(self) -> int:
        """Rows of one neuron: its values, and its mean as total, direct and frequency-restored effect."""
        return self.values + 2 + self.frequency

    def fixed(self, neuron: int, value: int) -> int:
        """A neuron at one of the values."""
        return 1 + neuron * self.width + value

    def total(self, neuron: int) -> int:
        """A neuron at its mean."""
        return self.fixed(neuron, self.values)

    def direct(self, neuron: int) -> int:
        """The same while the final norm keeps its scale."""
        return self.total(neuron) + 1

    def restored(self, neuron: int) -> int | None:
        """The same while logits keep their part along the token frequencies."""
        return self.total(neuron) + 2 if self.frequency else None
