"""The procedures on which a claim is judged."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Variant:
    """A procedure: which split, how to test, which RMSProp.

    Attributes:
        protocol: a name from `plan.PROTOCOLS`.
        dropout: whether losses are those with dropout on, as in the report's code.
        rmsprop: "rmsprop" (Keras's) or "rmsprop-tf1" (TensorFlow 1's).
    """

    protocol: str
    dropout: bool
    rmsprop: str = "rmsprop"

    def __str__(self) -> str:
        words = [self.protocol, f"dropout {'on' if self.dropout else 'off'}"]
        return ", ".join(words + ([] if self.rmsprop == "rmsprop" else [self.rmsprop]))


#: The report's procedure, but with Keras's RMSProp and initial weights. Its verdicts count.
PRIMARY = Variant("appendix", dropout=True)

#: All procedures; the page shows the verdicts on the others for comparison.
VARIANTS = (
    PRIMARY,
    Variant("appendix", dropout=False),
    Variant("text", dropout=True),
    Variant("text", dropout=False),
    Variant("appendix", dropout=True, rmsprop="rmsprop-tf1"),
)
