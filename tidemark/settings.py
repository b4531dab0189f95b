"""Every setting, frozen; read once, from a TOML file and the environment.

Precedence: command line, environment (``TIDEMARK_KAFKA__BOOTSTRAP=…``), file, default.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path  # noqa: TC003 # pydantic reads it at run time
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as PydanticSettingsError

from store.influence import load_influence
from store.policies import Policy, PolicyName
from store.robustness import Robustness
from streams.errors import SecurityError
from streams.security import Mechanism, Protocol, Security
from streams.wording import RATING_WORDS
from tidemark.encoder_settings import EncoderSettings, RedactionSettings, SentimentSettings
from tidemark.errors import SettingsError
from tidemark.operator_settings import DashboardSettings, LoggingSettings, TracingSettings
from tidemark.retrieval_settings import ClientSettings, RankingSettings, RetrievalSettings
from tidemark.setting_types import Group, Port, Positive, PositiveInt

__all__ = ["PREFIX", "Settings", "load_settings", "read_settings_file"]

PREFIX = "TIDEMARK_"
#: Variables of the command line's own options.
_NOT_SETTINGS = {"TIDEMARK_CONFIG"}
#: Settings whose value is not repeated, right or wrong; in Milvus' URI people put passwords.
_SECRET = {"password", "token", "sha256", "milvus_token", "milvus_uri"}


class SecuritySettings(Group):
    """How to connect to the brokers; see `streams.security.Security`."""

    protocol: Protocol = "PLAINTEXT"
    """of the brokers' listener: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`"""
    mechanism: Mechanism = "SCRAM-SHA-512"
    """of SASL; also `SCRAM-SHA-256` and `PLAIN`"""
    username: str | None = None
    """of SASL"""
    password: SecretStr | None = None
    """of SASL; never printed"""
    password_file: Path | None = None
    """a file that holds it, instead"""
    ca_file: Path | None = None
    """certificates to trust, PEM"""
    cert_file: Path | None = None
    """this client's certificate, PEM, where brokers ask for one"""
    key_file: Path | None = None
    """its key, PEM, not encrypted, where it is not in `cert_file`"""
    check_hostname: bool = True
    """whether a broker's certificate must name its host"""

    @model_validator(mode="after")
    def _complete(self) -> SecuritySettings:
        if self.password is not None and self.password_file is not None:
            msg = "password and password_file are both given; expected one of them"
            raise ValueError(msg)
        self.security()  # raises a ValueError that says what is missing
        return self

    def security(self) -> Security:
        """As the clients take it; a password file is read now.

        Raises:
            SecurityError: something that the protocol needs is missing or cannot be read.
        """
        given = self.model_dump(exclude={"password", "password_file"})
        return Security(**given, password=self._password())

    def _password(self) -> str | None:
        if self.password is not None:
            return self.password.get_secret_value()
        if self.password_file is None or not self.protocol.startswith("SASL_"):
            return None
        try:
            # Editors end a file with a line break; a password does not.
            return self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            msg = f"password_file {self.password_file} cannot be read: {reason}"
            raise SecurityError(msg) from error


class KafkaSettings(Group):
    """The broker and the worker's consumer group."""

    bootstrap: str = "localhost:9092"
    """brokers, host:port separated by commas"""
    security: SecuritySettings = SecuritySettings()
    group: Annotated[str, Field(min_length=1)] = "tidemark"
    """the workers' consumer group"""
    poll_records: PositiveInt = 8_000
    """most records of a partition that are handed over at once"""
    commit_seconds: Positive = 0.5
    """how often offsets are committed"""
    session_seconds: Annotated[float, Field(gt=0, le=90)] = 10.0
    """a worker silent for so long loses its partitions; at most 90"""
    retry_seconds: Positive = 120.0
    """how long a failing broker or encoder is tried before the worker exits"""

    @model_validator(mode="after")
    def _addresses(self) -> KafkaSettings:
        for address in self.bootstrap.split(","):
            host, _, port = address.strip().rpartition(":")
            if not host or not port.isdigit():
                msg = f"bootstrap has {address!r}; expected host:port, separated by commas"
                raise ValueError(msg)
        return self


class ActionTopicSettings(Group):
    """One topic that actions come from."""

    name: str
    format: Literal["msgpack", "json"] = "msgpack"
    default_action: str | None = None


class TopicSettings(Group):
    """What the topics are called, and how they are created."""

    actions: tuple[ActionTopicSettings, ...] = (ActionTopicSettings(name="actions"),)
    """list of `{name, format, default_action}`; format is `msgpack` or `json`"""
    items: str = "items"
    """the catalogue"""
    profiles: str = "profiles"
    """compacted; what the worker publishes and restores from"""
    item_vectors: str = "item-vectors"
    """compacted"""
    dead_letters: str = "actions-dead-letter"
    """what cannot be processed"""
    partitions: PositiveInt = 8
    """of every topic, at creation; bounds the number of workers"""
    replication: PositiveInt = 1
    """copies, at creation; 3 on a cluster"""

    @model_validator(mode="after")
    def _distinct(self) -> TopicSettings:
        names = [topic.name for topic in self.actions]
        names += [self.items, self.profiles, self.item_vectors, self.dead_letters]
        if not self.actions:
            msg = "actions is empty; expected at least one topic"
            raise ValueError(msg)
        if len(set(names)) < len(names):
            msg = f"two topics have the same name: {', '.join(sorted(names))}"
            raise ValueError(msg)
        return self


class LimitSettings(Group):
    """Bounds on a message; one over a limit is dead-lettered."""

    message_bytes: PositiveInt = 1_000_000
    """a longer message is dead-lettered, and so for the other limits"""
    text_chars: PositiveInt = 20_000
    """the user's words; an item's title and description"""
    id_chars: PositiveInt = 256
    """ids, names of actions, strings in context"""
    context_entries: PositiveInt = 32
    """of context and attributes"""
    categories: PositiveInt = 64
    """of an item"""
    clock_skew_seconds: Positive = 300.0
    """how far event time, and the time of a snapshot, may be ahead"""


class PolicySettings(Group):
    """How much of the old profile stays: k of ``p' = k·p + (1-k)·s·v``."""

    name: PolicyName = "constant"
    """`constant`, `decay`, `adaptive` or `influence`"""
    k: Annotated[float, Field(ge=0, lt=1)] = 0.7
    """of `constant`"""
    half_life_seconds: Positive = 30 * 86_400.0
    """of `decay`: 30 days"""
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5
    """of `adaptive`"""
    k_min: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """of `adaptive`"""
    k_max: Annotated[float, Field(ge=0, lt=1)] = 0.98
    """of `adaptive`"""
    influence: Path | None = None
    """of `influence`: its model, by `tidemark train influence`"""

    @model_validator(mode="after")
    def _ordered(self) -> PolicySettings:
        if self.k_min > self.k_max:
            msg = f"expected k_min <= k_max, not {self.k_min} and {self.k_max}"
            raise ValueError(msg)
        if self.name == "influence" and self.influence is None:
            msg = "name is influence; expected its model in policy.influence"
            raise ValueError(msg)
        return self

    def policy(self) -> Policy:
        """As the tables take it; a model is read now.

        Raises:
            PolicyError: the model cannot be read.
        """
        given = self.model_dump(exclude={"influence"})
        if self.name != "influence" or self.influence is None:
            return Policy(**given)
        return Policy(**given, influence=load_influence(self.influence))


class RobustnessSettings(Group):
    """What keeps one user's excess, and actions unlike all else of a user, from counting."""

    actions_per_minute: Annotated[int, Field(ge=0)] = 0
    """of a user, by event time; more are skipped; 0: no cap"""
    outlier_deviations: Annotated[float, Field(ge=0)] = 0.0
    """an action so many deviations less like the profile than is usual counts less; 0: none does"""

    def robustness(self) -> Robustness:
        """As the tables take it."""
        return Robustness(**self.model_dump())


class MemorySettings(Group):
    """How much of a user's past is kept beside the vector."""

    seen: PositiveInt = 200
    """recently seen items kept with a profile, for `exclude_seen` and popularity"""
    contributions: PositiveInt = 10
    """latest actions kept with a profile, for `/profile`"""
    event_ids: PositiveInt = 32
    """recent `event_id`s kept, against duplicates"""


class ActionRuleSettings(Group):
    """What one kind of action means: weight w, and strength s unless it is rated."""

    weight: Positive = 1.0
    """w of `decay` and, for what its model does not know, of `influence`; above 0"""
    strength: Annotated[float, Field(ge=-1, le=1)] = 1.0
    """s, −1 to 1"""
    rated: bool = False
    """s comes from the message's rating"""
    felt: bool = False
    """s comes from the rating where there is one, else from how the user's words feel"""


class RatingSettings(Group):
    """The scale of ratings: ``low`` maps to s = ``worst``, ``neutral`` to 0, ``high`` to +1."""

    low: float = 1.0
    """the worst rating"""
    neutral: float = 2.0
    """the rating with s = 0"""
    high: float = 5.0
    """the best rating, s = 1"""
    worst: Annotated[float, Field(ge=-1, le=0)] = -0.25
    """s of the worst rating"""
    words: Annotated[tuple[str, ...], Field(min_length=1)] = RATING_WORDS
    """what ratings are called in texts, from the lowest to the highest"""

    @model_validator(mode="after")
    def _ordered(self) -> RatingSettings:
        if not self.low < self.neutral < self.high:
            msg = f"expected low < neutral < high, not {self.low}, {self.neutral}, {self.high}"
            raise ValueError(msg)
        return self


DEFAULT_ACTIONS: dict[str, ActionRuleSettings] = {
    "view": ActionRuleSettings(weight=1.0, strength=0.3),
    "click": ActionRuleSettings(weight=1.0, strength=0.5),
    "search": ActionRuleSettings(weight=1.0, strength=0.5),
    "cart": ActionRuleSettings(weight=2.0, strength=0.8),
    "purchase": ActionRuleSettings(weight=3.0, strength=1.0),
    "rate": ActionRuleSettings(weight=2.0, rated=True),
    "review": ActionRuleSettings(weight=2.0, strength=1.0, felt=True),
    "like": ActionRuleSettings(weight=2.0, strength=1.0),
    "dislike": ActionRuleSettings(weight=2.0, strength=-0.25),
    "skip": ActionRuleSettings(weight=0.5, strength=-0.1),
}


class WorkerSettings(Group):
    """The worker process."""

    batch_actions: PositiveInt = 20_000
    """a micro-batch takes no further fetched batch at this size"""
    metrics_host: str = "127.0.0.1"
    """address of the worker's `/healthz`, `/readyz` and `/metrics`"""
    metrics_port: Port | None = None
    """their port; not served where there is none"""
    snapshot_seconds: Annotated[float, Field(ge=0)] = 60.0
    """how often its profiles are written to the state folder, for the next start; 0: never"""
    stall_seconds: Positive = 60.0
    """a worker with something to do that has not advanced for so long is unhealthy"""
    stall_exit_seconds: Positive = 300.0
    """and after so long it ends"""

    @model_validator(mode="after")
    def _told_before_it_ends(self) -> WorkerSettings:
        if self.stall_seconds > self.stall_exit_seconds:
            msg = (
                "expected stall_seconds <= stall_exit_seconds, not "
                f"{self.stall_seconds:g} and {self.stall_exit_seconds:g}"
            )
            raise ValueError(msg)
        return self


class Settings(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    limits: LimitSettings = LimitSettings()
    policy: PolicySettings = PolicySettings()
    robustness: RobustnessSettings = RobustnessSettings()
    memory: MemorySettings = MemorySettings()
    actions: dict[str, ActionRuleSettings] = DEFAULT_ACTIONS
    ratings: RatingSettings = RatingSettings()
    encoder: EncoderSettings = EncoderSettings()
    redaction: RedactionSettings = RedactionSettings()
    sentiment: SentimentSettings = SentimentSettings()
    worker: WorkerSettings = WorkerSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    ranking: RankingSettings = RankingSettings()
    client: ClientSettings = ClientSettings()
    dashboard: DashboardSettings = DashboardSettings()
    logging: LoggingSettings = LoggingSettings()
    tracing: TracingSettings = TracingSettings()

    @model_validator(mode="before")
    @classmethod
    def _own_actions_join_the_defaults(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("actions"), dict):
            return {**values, "actions": {**DEFAULT_ACTIONS, **values["actions"]}}
        return values

    @model_validator(mode="after")
    def _templates_of_actions(self) -> Settings:
        known = {"item", *self.actions}
        if unknown := sorted(set(self.encoder.templates) - known):
            msg = (
                f"encoder.templates.{unknown[0]}: there is no action of this name; known: "
                f"{', '.join(sorted(known))}"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _what_ranks_is_there(self) -> Settings:
        if self.retrieval.rank == "blend" and not self.ranking.enabled:
            msg = "retrieval.rank is blend and ranking.enabled false; expected one or the other"
            raise ValueError(msg)
        return self


def load_settings(file: Path | None = None, **overrides: Any) -> Settings:
    """Read the settings.

    Args:
        file: TOML with a table a group; none by default.
        overrides: by group, as the command line gives them; they win.

    Raises:
        SettingsError: says which setting, what it is, and what was expected.
    """
    in_file = read_settings_file(file) if file is not None else {}
    _refuse_unknown_variables()

    class Sources(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del dotenv_settings, file_secret_settings
            return init_settings, env_settings, InitSettingsSource(settings_cls, in_file)

    try:
        return Sources(**overrides)
    except ValidationError as error:
        raise SettingsError(_in_words(error)) from error
    except PydanticSettingsError as error:
        raise SettingsError(
            f"the environment cannot be read: {error} (lists and tables are written in JSON)"
        ) from error


def _refuse_unknown_variables() -> None:
    """pydantic-settings ignores variables of its prefix that name no group."""
    known = {f"{PREFIX}{group}".upper() for group in Settings.model_fields} | _NOT_SETTINGS
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name.upper().split("__")[0] not in known:
            raise SettingsError(f"{name}: there is no such setting; see: tidemark settings")


def read_settings_file(file: Path) -> dict[str, Any]:
    """What a settings file holds, unchecked.

    Raises:
        SettingsError: it cannot be read, or is not TOML.
    """
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise SettingsError(f"the settings file {file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings file {file} is not TOML: {error}") from error


def _in_words(error: ValidationError) -> str:
    """One line a wrong setting."""
    lines = []
    for one in error.errors():
        name = ".".join(str(part) for part in one["loc"]) or "settings"
        if one["type"] == "extra_forbidden":
            lines.append(f"{name}: there is no such setting; see: tidemark settings")
            continue
        message = one["msg"].removeprefix("Value error, ")
        shown = isinstance(one["input"], str | int | float) and not _SECRET & {*one["loc"]}
        given = f" (it is {one['input']!r})" if shown else ""
        lines.append(f"{name}: {message}{given}")
    return "wrong settings:\n  " + "\n  ".join(lines)
