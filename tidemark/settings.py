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

from streams.errors import SecurityError
from streams.security import Mechanism, Protocol, Security
from streams.wording import RATING_WORDS
from tidemark.encoder_settings import EncoderSettings, RedactionSettings, SentimentSettings
from tidemark.errors import SettingsError
from tidemark.operator_settings import DashboardSettings, LoggingSettings, TracingSettings
from tidemark.retrieval_settings import ClientSettings, RetrievalSettings
from tidemark.setting_types import Group, Port, Positive, PositiveInt

__all__ = ["Settings", "load_settings"]

_PREFIX = "TIDEMARK_"
#: Variables of the command line's own options.
_NOT_SETTINGS = {"TIDEMARK_CONFIG"}
#: Settings whose value is not repeated, right or wrong; in Milvus' URI people put passwords.
_SECRET = {"password", "token", "sha256", "milvus_token", "milvus_uri"}


class SecuritySettings(Group):
    """How to connect to the brokers; see `streams.security.Security`."""

    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism = "SCRAM-SHA-512"
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    check_hostname: bool = True

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
    security: SecuritySettings = SecuritySettings()
    group: Annotated[str, Field(min_length=1)] = "tidemark"
    poll_records: PositiveInt = 8_000
    commit_seconds: Positive = 0.5
    session_seconds: Annotated[float, Field(gt=0, le=90)] = 10.0
    retry_seconds: Positive = 120.0

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
    items: str = "items"
    profiles: str = "profiles"
    item_vectors: str = "item-vectors"
    dead_letters: str = "actions-dead-letter"
    partitions: PositiveInt = 8
    replication: PositiveInt = 1

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
    text_chars: PositiveInt = 20_000
    id_chars: PositiveInt = 256
    context_entries: PositiveInt = 32
    categories: PositiveInt = 64
    clock_skew_seconds: Positive = 300.0


class PolicySettings(Group):
    """How much of the old profile stays: k of ``p' = k·p + (1-k)·s·v``."""

    name: Literal["constant", "decay", "adaptive"] = "constant"
    k: Annotated[float, Field(ge=0, lt=1)] = 0.9
    half_life_seconds: Positive = 30 * 86_400.0
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5
    k_min: Annotated[float, Field(ge=0, lt=1)] = 0.5
    k_max: Annotated[float, Field(ge=0, lt=1)] = 0.98

    @model_validator(mode="after")
    def _ordered(self) -> PolicySettings:
        if self.k_min > self.k_max:
            msg = f"expected k_min <= k_max, not {self.k_min} and {self.k_max}"
            raise ValueError(msg)
        return self


class MemorySettings(Group):
    """How much of a user's past is kept beside the vector."""

    seen: PositiveInt = 200
    contributions: PositiveInt = 10
    event_ids: PositiveInt = 32


class ActionRuleSettings(Group):
    """What one kind of action means: weight w, and strength s unless it is rated."""

    weight: Positive = 1.0
    strength: Annotated[float, Field(ge=-1, le=1)] = 1.0
    rated: bool = False
    felt: bool = False


class RatingSettings(Group):
    """The scale of ratings: ``low`` maps to s = ``worst``, ``neutral`` to 0, ``high`` to +1."""

    low: float = 1.0
    neutral: float = 2.0
    high: float = 5.0
    worst: Annotated[float, Field(ge=-1, le=0)] = -0.25
    words: Annotated[tuple[str, ...], Field(min_length=1)] = RATING_WORDS

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
    metrics_host: str = "127.0.0.1"
    metrics_port: Port | None = None
    snapshot_seconds: Annotated[float, Field(ge=0)] = 60.0
    stall_seconds: Positive = 60.0
    stall_exit_seconds: Positive = 300.0

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
        env_prefix=_PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    limits: LimitSettings = LimitSettings()
    policy: PolicySettings = PolicySettings()
    memory: MemorySettings = MemorySettings()
    actions: dict[str, ActionRuleSettings] = DEFAULT_ACTIONS
    ratings: RatingSettings = RatingSettings()
    encoder: EncoderSettings = EncoderSettings()
    redaction: RedactionSettings = RedactionSettings()
    sentiment: SentimentSettings = SentimentSettings()
    worker: WorkerSettings = WorkerSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
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


def load_settings(file: Path | None = None, **overrides: Any) -> Settings:
    """Read the settings.

    Args:
        file: TOML with a table a group; none by default.
        overrides: by group, as the command line gives them; they win.

    Raises:
        SettingsError: says which setting, what it is, and what was expected.
    """
    in_file = _read(file) if file is not None else {}
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
    known = {f"{_PREFIX}{group}".upper() for group in Settings.model_fields} | _NOT_SETTINGS
    for name in sorted(os.environ):
        if name.upper().startswith(_PREFIX) and name.upper().split("__")[0] not in known:
            raise SettingsError(f"{name}: there is no such setting; see: tidemark settings")


def _read(file: Path) -> dict[str, Any]:
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
