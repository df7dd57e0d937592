"""What the checkers of this folder find."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Violation:
    path: str  # From the root of the tree.
    line: int
    rule: str
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: [{self.rule}] {self.message}"
