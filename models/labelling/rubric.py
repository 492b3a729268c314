"""The demo world's annotators: its true utility, seen through noise of a chosen strength. Knows the demo world only."""

from __future__ import annotations

import math
from collections.abc import Sequence

from models.demo.parser import utility
from models.labelling.records import AnnotatorIdentity, Opinion, ShownPair
from models.records import content_key

# Half the smallest difference of two utilities (0.5): without noise exactly the equally good responses tie.
TIE_WIDTH = 0.25
_DRAW_BITS = 52  # the most for which a draw and its half step are exact in a double, so that no draw is 0 or 1


class RubricLabeller:
    """An annotator who judges by the demo's rubric, as noisily as a temperature says; each seed is another person.

    It sees the difference of the utilities plus logistic noise times the temperature, so that the left response seems
    the better one with probability sigmoid((u_left − u_right) / temperature) (Bradley and Terry 1952). A difference
    seen of at most `TIE_WIDTH` is a tie (Rao and Kupper 1967): P(left) = sigmoid((u_left − u_right − width) / T).
    """

    def __init__(self, *, temperature: float, seed: int) -> None:
        """Choose the person.

        Args:
            temperature: strength of the noise in points of utility (0 to 10); 0 tells the truth.
            seed: whose noise. The noise of two seeds is independent; for one seed, it grows with the temperature.

        Raises:
            ValueError: if the temperature is negative or not finite.
        """
        if not 0 <= temperature < math.inf:
            raise ValueError(f"temperature must be 0 (the truth) or a positive number, got {temperature}")
        self._temperature = float(temperature)
        self._seed = seed

    @property
    def identity(self) -> AnnotatorIdentity:
        """Another temperature or seed is another annotator; at temperature 0 all seeds say the same."""
        name = f"rubric (temperature {self._temperature:g}, seed {self._seed})"
        return AnnotatorIdentity("rubric", name, (("temperature", self._temperature), ("seed", self._seed)))

    def label(self, pairs: Sequence[ShownPair]) -> list[Opinion]:
        """Judge every pair; the same pair gets the same opinion in every call, mirrored if its sides are exchanged.

        The margin is the difference as seen, noise included: it never contradicts the verdict. The probability is the
        share of all seeds to whom the left response seems the better one. Two texts that are no English of the grammar
        (utility 0) are `both_bad` to everybody; equal texts are a tie.

        Raises:
            ValueError: a prompt is none of the demo world.
        """
        return [self._opinion(pair) for pair in pairs]

    def close(self) -> None:
        """Nothing is held."""

    def _opinion(self, pair: ShownPair) -> Opinion:
        left, right = self._utility(pair, pair.left.text), self._utility(pair, pair.right.text)
        if pair.left.text == pair.right.text:
            return Opinion("tie", probability=0.5, margin=0.0)
        if left == right == 0.0:
            return Opinion("both_bad", probability=0.5, margin=0.0)
        seen_difference = left - right
        if self._temperature > 0:
            seen_difference += self._temperature * self._noise(pair)
        if abs(seen_difference) <= TIE_WIDTH:
            return Opinion("tie", probability=self._probability(left - right), margin=seen_difference)
        return Opinion(
            "left" if seen_difference > 0 else "right",
            probability=self._probability(left - right),
            margin=seen_difference,
        )

    def _probability(self, difference: float) -> float:
        if self._temperature == 0:
            return 0.5 if difference == 0 else float(difference > 0)
        return 0.5 + 0.5 * math.tanh(difference / self._temperature / 2)  # the sigmoid, without overflow

    def _noise(self, pair: ShownPair) -> float:
        """One draw of the standard logistic distribution by content; exchanging the sides exchanges its sign."""
        texts = sorted((pair.left.text, pair.right.text))
        number = int(content_key("rubric", self._seed, pair.prompt.key, texts), 16) >> (256 - _DRAW_BITS)
        draw = (number + 0.5) / 2**_DRAW_BITS
        noise = math.log(draw / (1 - draw))
        return noise if pair.left.text == texts[0] else -noise

    def _utility(self, pair: ShownPair, text: str) -> float:
        try:
            return utility(pair.prompt.text, text)
        except ValueError as error:
            raise ValueError(
                f"the rubric judges prompts of the demo world only, got {pair.prompt.text!r}; label these pairs with "
                "another annotator (a judge, a reward model, the data set's scores, people)"
            ) from error
