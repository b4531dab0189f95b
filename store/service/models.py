"""What the retrieval service takes and gives, in JSON or MessagePack.

What it gives are plain dataclasses: a batch holds many thousands of them, which would each be
checked where models of pydantic are.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from store.answers import Candidate, ScoredUser
from store.catalogue import ANY, Wanted
from store.ordering import Rank
from store.query_vectors import ProfileFunction

__all__ = [
    "MAX_BATCH", "MAX_FIELDS", "MAX_K", "MAX_VALUES", "MAX_WEIGHT", "POPULARITY", "PROFILE", "RANK",
    "Audience", "BatchRequest", "Candidates", "CandidatesBatch", "CandidatesRequest",
    "ContributionPart", "ErrorDetail", "ErrorResponse", "ExplainedItem", "FreshnessSummary",
    "Health", "ItemsRequest", "LearnedRanking", "Neighbours", "Profile", "ProfilesBatch",
    "ProfilesRequest",
    "Readiness", "Reason", "Receipt", "RecordCounts", "SearchRequest", "SearchResult",
    "SeenItem", "Status", "Upcoming", "UserError", "Why",
]  # fmt: skip

#: Most users of a call, and most results for each.
MAX_BATCH, MAX_K = 256, 1_000
#: Attributes that a request may filter by, values of each, and what popularity may count.
MAX_FIELDS, MAX_VALUES, MAX_WEIGHT = 16, 256, 10
RANK = (
    "What orders them: nearness, the learned blend, or the ranker of `retrieval.ranker`. By "
    "default what `retrieval.rank` says; nearness where `popularity` or another `profile` is given."
)
PROFILE = "What makes the user's vector: the fold, or the trained `retrieval.sequence`."
POPULARITY = "Added to the score of the most popular item; less to others, by the logarithm."


@dataclass(slots=True)
class ErrorDetail:
    """What went wrong, why, and what to do next."""

    code: str
    reason: str
    hint: str


@dataclass(slots=True)
class ErrorResponse:
    """Every error, whatever the status; the id is in the header X-Request-Id and in the log."""

    error: ErrorDetail
    request_id: str


@dataclass(slots=True)
class Reason:
    """An action's part in a score.

    ``part`` is weight × cosine, the cosine of the action's item and the candidate. ``share`` is
    the part divided by the sum of all parts' amounts; below 0 it speaks against the candidate.
    The three are null for an action without an item, and for one whose item is no longer held.
    """

    action: str
    item_id: str | None
    title: str | None
    weight: float
    cosine: float | None
    part: float | None
    share: float | None


@dataclass(slots=True)
class ExplainedItem(Candidate):
    """An item retrieved, and the user's actions behind it, those that count most first.

    ``parts`` says of the learned blend what ``score`` is made of, and sums up to it: ``text``,
    ``popularity``, ``age``, ``esteem``, ``taste``, ``together``, ``follows``. Above 0 it speaks for
    the item more than for one at random. Null by any other rank.
    """

    because: list[Reason]
    parts: dict[str, float] | None


@dataclass(slots=True)
class Candidates:
    """Items for a user, best first; explained where asked for and ranked by a profile.

    ``rank`` is what ordered them; null where they are what is popular.
    """

    user_id: str
    source: Literal["profile", "sequence", "popular"]
    rank: Rank | None
    candidates: list[ExplainedItem | Candidate]


@dataclass(slots=True)
class Why:
    """Why an item is near to a user, whatever else is nearer.

    ``score`` is its cosine to the profile as it is kept, with what all items share.
    """

    user_id: str
    item_id: str
    title: str
    score: float
    because: list[Reason]


@dataclass(slots=True)
class UserError:
    """In a batch: what is wrong with one of the users asked for."""

    user_id: str
    error: ErrorDetail


class BatchRequest(BaseModel):
    """Which users; they are answered in this order."""

    model_config = ConfigDict(extra="forbid")

    user_ids: Annotated[
        list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=MAX_BATCH)
    ]


def _is_text(given: str) -> str:
    """Half of a surrogate pair, which JSON can say, is none."""
    try:
        given.encode()
    except UnicodeEncodeError:
        raise ValueError("expected characters that UTF-8 has") from None
    return given


Text = Annotated[str, AfterValidator(_is_text)]


class ItemsRequest(BaseModel):
    """Which items are wanted, and how they are ranked."""

    category: Text | None = None
    where: Annotated[
        dict[Text, Annotated[list[Text], Field(max_length=MAX_VALUES)]],
        Field(max_length=MAX_FIELDS, description="Of each attribute one of these values."),
    ] = {}
    popularity: float = Field(default=0.0, ge=0, le=MAX_WEIGHT, description=POPULARITY)

    def wanted(self) -> Wanted:
        """As the view takes it."""
        return Wanted(self.category or None, self.where, self.popularity)


class CandidatesRequest(BatchRequest, ItemsRequest):
    """Candidates for several users."""

    k: int = Field(default=10, ge=1, le=MAX_K)
    exclude_seen: bool = True
    fallback: Literal["popular"] | None = None
    rank: Rank | None = Field(default=None, description=RANK)
    profile: ProfileFunction = Field(default="fold", description=PROFILE)


class ProfilesRequest(BatchRequest):
    """Profiles of several users."""

    include_vector: bool = False


@dataclass(slots=True)
class CandidatesBatch:
    """For each user asked for, in that order, candidates or what is wrong."""

    results: list[Candidates | UserError]


@dataclass(slots=True)
class Neighbours:
    """Users like a user, best first."""

    user_id: str
    neighbours: list[ScoredUser]


@dataclass(slots=True)
class Audience:
    """Users nearest to an item, best first."""

    item_id: str
    audience: list[ScoredUser]


class SearchRequest(ItemsRequest):
    """A query: exactly one of text and vector."""

    model_config = ConfigDict(
        extra="forbid",
        populate_by_name=True,
        json_schema_extra={"oneOf": [{"required": ["text"]}, {"required": ["vector"]}]},
    )

    text: Annotated[Text, Field(min_length=1)] | None = None
    vector: list[Annotated[float, Field(allow_inf_nan=False)]] | None = None
    #: Which made the vector: refused where what is held is of another, as after a change.
    encoder_id: Text | None = None
    k: int = Field(default=10, ge=1, le=MAX_K)
    within: Literal["items", "profiles"] = Field(default="items", alias="in")

    @model_validator(mode="after")
    def _one_query(self) -> "SearchRequest":
        if (self.text is None) == (self.vector is None):
            raise ValueError("expected exactly one of text and vector")
        if self.encoder_id is not None and self.vector is None:
            raise ValueError("encoder_id is said of a vector; there is none")
        if self.within == "profiles" and self.wanted() != ANY:
            raise ValueError("category, where and popularity apply to items, not to profiles")
        return self


@dataclass(slots=True)
class SearchResult:
    """What is nearest to the query, best first; one list is filled, as asked by ``in``."""

    items: list[Candidate] = field(default_factory=list)
    profiles: list[ScoredUser] = field(default_factory=list)


@dataclass(slots=True)
class SeenItem:
    """A recently seen item; without a title where the catalogue does not hold it."""

    item_id: str
    title: str | None


@dataclass(slots=True)
class ContributionPart:
    """One action's part in the profile: the factor of its vector in p."""

    action: str
    item_id: str | None
    title: str | None
    weight: float


@dataclass(slots=True)
class Profile:
    """What is known of a user; times are ms since the epoch."""

    user_id: str
    encoder_id: str
    count: int
    last_action_at: int
    norm: float
    seen: list[SeenItem]
    contributions: list[ContributionPart]
    vector: list[float] | None = None


@dataclass(slots=True)
class ProfilesBatch:
    """For each user asked for, in that order, the profile or what is wrong."""

    results: list[Profile | UserError]


@dataclass(slots=True)
class Receipt:
    """A ``forget`` acknowledged by the broker; ``forgotten`` once it is gone from this replica."""

    user_id: str
    topic: str
    partition: int
    offset: int
    requested_at: int
    status: Literal["forgotten", "accepted"]


@dataclass(slots=True)
class FreshnessSummary:
    """From an action's publishing to its profile being retrievable; null before the first."""

    count: int
    p50_seconds: float | None
    p99_seconds: float | None


@dataclass(slots=True)
class RecordCounts:
    """Records skipped since the start, and why."""

    stale: int
    corrupt: int
    foreign: int


@dataclass(slots=True)
class Upcoming:
    """The generation that is to answer next, and what it waits for."""

    generation: str
    encoder_id: str
    waiting_for: str
    lag: int | None
    profiles: int
    items: int


@dataclass(slots=True)
class LearnedRanking:
    """What ``rank=blend`` ranks by.

    ``version`` is of what the numbers mean: a snapshot's of another is learned anew.
    ``counted`` and ``learned`` are choices since the start: items that users came to. ``steps`` are
    all that the weights were learned from, with those before the start that a snapshot kept.
    ``weights`` are by feature: ``always``, and what each context adds. ``text_maps`` are the
    Frobenius norms of the two maps of texts, which are vectors and words.
    """

    version: int
    counted: int
    learned: int
    steps: int
    weights: dict[str, dict[str, float]]
    text_maps: dict[str, float]


@dataclass(slots=True)
class Status:
    """The state of this replica.

    ``lag`` is in records, ``applied`` by source topic and partition, ``positions`` the next offsets
    to be read by topic and partition, ``indexes`` the kinds of the indexes of items and profiles,
    ``recall`` what their searches find of the true best, as probed lately (nothing where all is
    found), ``sequence`` the id of the trained profile function, ``ranker`` the version of what
    orders by ``rank=mlp``, ``mean_removal`` whether profiles are searched for without the items'
    mean, as from 100 items on, ``whitening`` the power by which they are turned as well,
    ``generation`` the topic of the profiles, ``ranking`` is null where nothing is learned,
    ``upcoming`` as a rule.
    """

    ready: bool
    reason: str
    healthy: bool
    health_reason: str
    lag: int | None
    profiles: int
    items: int
    encoder_id: str
    sequence: str | None
    ranker: str | None
    mean_removal: bool
    whitening: float
    generation: str
    indexes: dict[str, str]
    recall: dict[str, float]
    applied: dict[str, dict[str, int]]
    positions: dict[str, dict[str, int]]
    freshness: FreshnessSummary
    records: RecordCounts
    ranking: LearnedRanking | None
    upcoming: Upcoming | None


@dataclass(slots=True)
class Health:
    """``degraded``: the topics cannot be read just now, but what is held can be asked."""

    status: Literal["ok", "degraded"]
    reason: str


@dataclass(slots=True)
class Readiness:
    """Sent with 200 only; ``lag``, ``generation`` and ``indexes`` as in `Status`."""

    ready: bool
    lag: int | None
    generation: str
    indexes: dict[str, str]
