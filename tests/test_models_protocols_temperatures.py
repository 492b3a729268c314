"""Which question is answered at which temperature."""

from __future__ import annotations

from models.protocols.question_files import Question
from models.protocols.temperatures import by_temperature


def test_questions_are_grouped_by_their_categorys_temperature_and_none_is_lost():
    categories = ["writing", "math", None, "STEM", "baking", "roleplay", "coding"]
    questions = [Question(str(at), category, ("?",), ()) for at, category in enumerate(categories)]
    assert by_temperature(questions, 0.3) == {0.7: [0, 5], 0.0: [1, 6], 0.3: [2, 4], 0.1: [3]}
    assert by_temperature([], 0.3) == {}
