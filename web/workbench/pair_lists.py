"""A list of pairs as its address says it: what it is filtered and sorted by, and where its page begins."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from db.findings.pair_filters import Label, PairFilter
from db.findings.pair_table import Order, Place, Sort
from models.records import MAX_ID

LABELS: dict[str, str] = {
    "none": "without a label",
    "any": "with a label",
    "disputed": "annotators disagree",
    "first": "the first is better",
    "second": "the second is better",
    "tie": "a tie",
    "both_bad": "both are bad",
    "contradiction": "no majority",
}
SORTS: dict[str, str] = {
    "newest": "newest",
    "-newest": "oldest",
    "similarity": "most similar",
    "-similarity": "least similar",
    "length_ratio": "most alike in length",
    "-length_ratio": "most unlike in length",
    "votes": "most votes",
    "-votes": "fewest votes",
}
_PLACE = r"^-?[0-9]{1,20}(\.[0-9]{1,20})?(e-?[0-9]{1,2})?:[0-9]{1,18}$"

Id = Annotated[int | None, Field(ge=1, le=MAX_ID)]
Number = Annotated[float | None, Field(ge=-2, le=2, allow_inf_nan=False)]
Storable = BeforeValidator(lambda value: value.replace("\0", " ") if isinstance(value, str) else value)


class PairList(BaseModel):
    """The parameters of a list's address; what is left out is not asked.

    `sort`: by what, the most first, or the least with a minus in front; `after` and `before`: where the page begins,
    as what the list is sorted by and a pair's id; `at`: as which of its pairs a pair's own page is looked at.
    """

    model_config = ConfigDict(extra="ignore")

    q: Annotated[str | None, Storable] = Field(default=None, max_length=1_000)
    run: Id = None
    strategy: Annotated[str | None, Storable] = Field(default=None, max_length=100)
    source: Annotated[str | None, Storable] = Field(default=None, max_length=200)
    similar_from: Number = None
    similar_to: Number = None
    length_from: Number = None
    length_to: Number = None
    label: Label | None = None
    by: Id = None
    flag: Annotated[str | None, Storable] = Field(default=None, max_length=20)
    sort: str = Field(default="newest", pattern=f"^({'|'.join(SORTS)})$")
    after: str | None = Field(default=None, pattern=_PLACE)
    before: str | None = Field(default=None, pattern=_PLACE)
    at: Id = None

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, values: Any) -> Any:
        return {name: value for name, value in values.items() if value != ""} if isinstance(values, dict) else values

    @property
    def wanted(self) -> PairFilter:
        """Which pairs it has."""
        return PairFilter(
            run_id=self.run,
            strategy=self.strategy,
            source=self.source,
            similarity=(self.similar_from, self.similar_to),
            length_ratio=(self.length_from, self.length_to),
            label=self.label,
            annotator_id=self.by,
            flag=self.flag,
            words=self.q,
        )

    @property
    def order(self) -> Order:
        """How they are sorted."""
        sort: Sort = self.sort.removeprefix("-")  # type: ignore[assignment]
        return Order(sort, is_ascending=self.sort.startswith("-"))

    @property
    def place(self) -> Place | None:
        """Where the page begins; None: at the top."""
        text = self.after or self.before
        if text is None:
            return None
        value, _, pair_id = text.partition(":")
        # An integer column is compared with an integer: PostgreSQL walks its index for no other number.
        number = int(float(value)) if self.order.sort == "votes" else float(value)
        return Place(number, int(pair_id), is_before=self.after is None)

    @property
    def has_filter(self) -> bool:
        """Whether it may leave out a pair."""
        return self.wanted != PairFilter()

    def address(self, place: Place | None = None) -> str:
        """The list's own parameters, with where a page begins if it is not the first."""
        values = self.model_dump(exclude_none=True, exclude_defaults=True, exclude={"after", "before", "at"})
        if place is not None:
            values["before" if place.is_before else "after"] = f"{place.value!r}:{place.pair_id}"
        return urlencode(values)
