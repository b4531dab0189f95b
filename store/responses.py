"""What the retrieval service takes and gives, as JSON."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "Audience",
    "CandidateItem",
    "Candidates",
    "ContributionPart",
    "ErrorDetail",
    "ErrorResponse",
    "FoundUser",
    "FreshnessSummary",
    "Health",
    "Neighbours",
    "Profile",
    "Readiness",
    "Receipt",
    "RecordCounts",
    "SearchRequest",
    "SearchResult",
    "SeenItem",
    "Status",
]


class ErrorDetail(BaseModel):
    """What went wrong, why, and what to do next."""

    code: str
    reason: str
    hint: str


class ErrorResponse(BaseModel):
    """Every error, whatever the status."""

    error: ErrorDetail


class CandidateItem(BaseModel):
    """An item retrieved; score = cosine, or users who have seen it where source is popular."""

    item_id: str
    score: float
    title: str
    categories: tuple[str, ...]


class Candidates(BaseModel):
    """Items for a user, best first."""

    user_id: str
    source: Literal["profile", "popular"]
    candidates: list[CandidateItem]


class FoundUser(BaseModel):
    """A user retrieved; score = cosine."""

    user_id: str
    score: float


class Neighbours(BaseModel):
    """Users like a user, best first."""

    user_id: str
    neighbours: list[FoundUser]


class Audience(BaseModel):
    """Users nearest to an item, best first."""

    item_id: str
    audience: list[FoundUser]


class SearchRequest(BaseModel):
    """A query: exactly one of text and vector."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    text: Annotated[str, Field(min_length=1)] | None = None
    vector: list[Annotated[float, Field(allow_inf_nan=False)]] | None = None
    k: int = Field(default=10, ge=1, le=1000)
    category: str | None = None
    within: Literal["items", "profiles"] = Field(default="items", alias="in")

    @model_validator(mode="after")
    def _one_query(self) -> "SearchRequest":
        if (self.text is None) == (self.vector is None):
            raise ValueError("expected exactly one of text and vector")
        if self.within == "profiles" and self.category is not None:
            raise ValueError("category applies to items, not to profiles")
        return self


class SearchResult(BaseModel):
    """What is nearest to the query, best first; one list is filled, as asked by ``in``."""

    items: list[CandidateItem] = []
    profiles: list[FoundUser] = []


class SeenItem(BaseModel):
    """A recently seen item; without a title where the catalogue does not hold it."""

    item_id: str
    title: str | None


class ContributionPart(BaseModel):
    """One action's part in the profile: the factor of its vector in p."""

    action: str
    item_id: str | None
    title: str | None
    weight: float


class Profile(BaseModel):
    """What is known of a user; times are ms since the epoch."""

    user_id: str
    encoder_id: str
    count: int
    last_action_at: int
    norm: float
    seen: list[SeenItem]
    contributions: list[ContributionPart]
    vector: list[float] | None = None


class Receipt(BaseModel):
    """A ``forget`` acknowledged by the broker; ``forgotten`` once it is gone from this replica."""

    user_id: str
    topic: str
    partition: int
    offset: int
    requested_at: int
    status: Literal["forgotten", "accepted"]


class FreshnessSummary(BaseModel):
    """From an action's publishing to its profile being retrievable; null before the first."""

    count: int
    p50_seconds: float | None
    p99_seconds: float | None


class RecordCounts(BaseModel):
    """Records skipped since the start, and why."""

    stale: int
    corrupt: int
    foreign: int


class Status(BaseModel):
    """The state of this replica; ``lag`` in records, ``applied`` by source topic and partition."""

    ready: bool
    reason: str
    healthy: bool
    health_reason: str
    lag: int | None
    profiles: int
    items: int
    encoder_id: str
    applied: dict[str, dict[int, int]]
    freshness: FreshnessSummary
    records: RecordCounts


class Health(BaseModel):
    """``degraded``: the topics cannot be read just now, but what is held can be asked."""

    status: Literal["ok", "degraded"]
    reason: str


class Readiness(BaseModel):
    """Sent with 200 only."""

    ready: bool
