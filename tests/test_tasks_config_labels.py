"""Settings of labelling that contradict each other are refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tasks.config.labels import LabelConfig
from tasks.config.section import refuse_in_vain


def test_settings_of_an_annotator_that_is_not_used_are_refused():
    with pytest.raises(ValueError, match="rubric is set, but the annotator is gold"):
        refuse_in_vain(LabelConfig.model_validate({"annotator": "gold", "rubric": {"seed": 3}}))
    with pytest.raises(ValidationError, match="a judge needs an address and a model"):
        LabelConfig.model_validate({"annotator": "judge"})
