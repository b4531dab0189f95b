"""Takes what looks like personal data or a secret out of users' own words.

Phone numbers are found by ``phonenumbers`` (Google's libphonenumber), secrets by the detectors of
``detect-secrets``, addresses by the standard library. Presidio, the best known library for the
whole, asks for a word boundary before each finding, of which there is none after a Chinese
character, and brings a language model along.
"""

from __future__ import annotations

import ipaddress
import re
from itertools import pairwise
from typing import TYPE_CHECKING

from detect_secrets.plugins.artifactory import ArtifactoryDetector
from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.high_entropy_strings import Base64HighEntropyString
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.npm import NpmDetector
from detect_secrets.plugins.openai import OpenAIDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector
from phonenumbers import SUPPORTED_REGIONS, Leniency, PhoneNumberMatcher

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["KINDS", "Redactor"]

#: What is looked for, in this order; each is replaced by its name in brackets.
KINDS = ("email", "ip", "token", "card", "phone")

#: What is written one way or another, for finding: each sign for one, so that places stay.
_PLAIN = str.maketrans(
    {
        **{chr(0xFF01 + i): chr(0x21 + i) for i in range(94)},  # full-width forms of ASCII
        **dict.fromkeys("\u00a0\u2007\u202f\u3000", " "),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
    }
)

#: Letters of Latin, Greek and Cyrillic; a Chinese character beside an address is not of it,
_LETTER = "A-Za-zÀ-ӿ"
#: except in domains, before a dot or in an ending that is known;
_CJK = "一-鿿ぁ-ヿ가-힣"
_ENDING = (
    rf"(?:[{_LETTER}]{{2,24}}"
    r"|中国|中國|公司|网络|網絡|网址|香港|台湾|台灣|在线|みんな|コム|한국)"
)
_DOMAIN = rf"(?:[{_LETTER}{_CJK}0-9-]{{1,63}}\.)+{_ENDING}"
#: and as a whole name: up to eight of them before the @, since no space tells where it begins.
_EMAIL = re.compile(rf"(?:[{_LETTER}0-9._%+-]{{1,64}}|[{_CJK}]{{1,8}})@{_DOMAIN}")
#: With the full stop of Chinese too, as its keyboards give it.
_IPV4 = re.compile(
    r"(?<![\d.])\d{1,3}(?:(?:\.\d{1,3}){3}(?![\d.]*\d)|(?:。\d{1,3}){3}(?![\d。]*\d))", re.ASCII
)
_IPV6 = re.compile(
    r"(?<![0-9A-Za-z:.])(?:[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){1,6}:\d{1,3}(?:\.\d{1,3}){3}"
    r"|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})",
    re.ASCII,
)
#: Groups of digits, of which a card's are some; with dots only those of four, as dates have none.
_GAP = r"(?:[ -]|(?<=\d{4})\.(?=\d{4}))"
_CARD = re.compile(rf"(?<!\d)\d+(?:{_GAP}\d+)*", re.ASCII)
_CARD_LIKE = re.compile(rf"\d(?:{_GAP}?\d){{12}}", re.ASCII)
_CARD_DIGITS = range(13, 20)
#: Signs that secrets are made of; a Chinese character or a space ends them.
_RUN = re.compile(r"(?<![A-Za-z0-9_+/=.:-])[A-Za-z0-9_+/=.:-]{16,}")
_AFTER_SCHEME = re.compile(
    r"(?i)(?:(?<![A-Za-z])bearer[ :]+|authorization[ :]+basic +)([A-Za-z0-9_+/=.~-]{8,})"
)
#: What may be a number: libphonenumber takes far longer for a text than for its parts.
_PHONE = re.compile(r"[+(]{0,2}\d(?:[\s()./-]{0,3}\d){6,17}")
_HEX = re.compile(r"[0-9a-fA-F]{32,}")
_HUGGING_FACE = re.compile(r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{30,}")
#: Letters of one case with digits in several places, as base32 and base36 have: a title that is
#: written as one word, with its year, has them in one.
_ONE_CASE = re.compile(r"(?<![A-Za-z0-9])(?:[a-z0-9]{32,}|[A-Z0-9]{32,})(?![A-Za-z0-9])")
#: Letters of both cases and digits without a sign between: a shorter secret than `_ENTROPY` tells.
_MIXED = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{20,}(?![A-Za-z0-9])")
#: Fewest changes between lower case, upper case and digits in such a run, by its length.
_CHANGES = 0.5
#: Bits per sign, from detect-secrets: beyond it a run of mixed signs is no word.
_ENTROPY = 4.5
#: Of a longer run the two ends are looked at: some detectors take time by the square of its length.
_LONGEST_RUN = 512

_DETECTORS = tuple(
    detector()
    for detector in (
        ArtifactoryDetector, AWSKeyDetector, DiscordBotTokenDetector, GitHubTokenDetector,
        GitLabTokenDetector, JwtTokenDetector, MailchimpDetector, NpmDetector, OpenAIDetector,
        PypiTokenDetector, SendGridDetector, SlackDetector, SquareOAuthDetector, StripeDetector,
        TelegramBotTokenDetector, TwilioKeyDetector,
    )
)  # fmt: skip
_ENTROPY_METER = Base64HighEntropyString(limit=_ENTROPY)


class Redactor:
    """Replaces what it finds by ``[email]``, ``[ip]``, ``[token]``, ``[card]`` or ``[phone]``.

    >>> Redactor().redact("mail me at ann@example.org, 我的电话是13812345678")
    'mail me at [email], 我的电话是[phone]'

    Args:
        kinds: of `KINDS`, what to look for.
        phone_regions: countries (ISO 3166, ``CN``) whose numbers are known without a ``+``.

    Attributes:
        found: how often each kind was, since this was made.

    Raises:
        ValueError: a kind or a region is not known.
    """

    def __init__(
        self, kinds: Sequence[str] = KINDS, phone_regions: Sequence[str] = ("US", "CN")
    ) -> None:
        if unknown := sorted(set(kinds) - set(KINDS)):
            raise ValueError(f"cannot redact {unknown[0]!r}; known: {', '.join(KINDS)}")
        if unknown := sorted(set(phone_regions) - SUPPORTED_REGIONS):
            raise ValueError(
                f"no telephone numbers are known for region {unknown[0]!r}; expected two letters "
                "of ISO 3166, such as US"
            )
        self._regions = tuple(phone_regions)
        finders = {
            "email": _emails, "ip": _addresses, "token": _tokens, "card": _cards,
            "phone": self._phones,
        }  # fmt: skip
        self._finders = {kind: finders[kind] for kind in KINDS if kind in kinds}
        self.found = dict.fromkeys(self._finders, 0)

    def redact(self, text: str) -> str:
        """The text with what was found replaced."""
        plain = text if text.isascii() else text.translate(_PLAIN)
        for kind, find in self._finders.items():
            spans = list(find(plain))
            self.found[kind] += len(spans)
            for start, end in reversed(spans):
                text = f"{text[:start]}[{kind}]{text[end:]}"
                plain = f"{plain[:start]}[{kind}]{plain[end:]}"
        return text

    def _phones(self, text: str) -> Iterator[tuple[int, int]]:
        for match in _PHONE.finditer(text):
            # Grouped as numbers are there: a film's year and what follows it are no number.
            found = sorted(
                (one.start, one.end)
                for region in self._regions or (None,)
                for one in PhoneNumberMatcher(
                    match.group(), region, leniency=Leniency.STRICT_GROUPING
                )
            )
            end = 0
            for start, stop in found:
                if start >= end:  # several regions may know one number
                    yield match.start() + start, match.start() + stop
                    end = stop


def _emails(text: str) -> Iterator[tuple[int, int]]:
    if "@" in text:
        yield from (match.span() for match in _EMAIL.finditer(text))


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    spans = []
    dots = max(text.count("."), text.count("。"))
    ipv4 = _IPV4.finditer(text) if dots > 2 else ()  # noqa: PLR2004 # three in one
    ipv6 = _IPV6.finditer(text) if text.count(":") > 1 else ()
    for match in (*ipv4, *ipv6):
        found = match.group().replace("。", ".")
        # "::" and "a::b" are whole addresses, and more often signs of another kind.
        if ":" in found and not (found.count(":") > 2 or re.fullmatch(r"f[cdef]\w\w::\w+", found)):  # noqa: PLR2004 # see above
            continue
        try:
            ipaddress.ip_address(found)
        except ValueError:
            continue
        spans.append(match.span())
    end = 0
    for start, stop in sorted(spans):
        if start >= end:  # an IPv4 address may stand in an IPv6 one
            yield start, stop
            end = stop


def _tokens(text: str) -> Iterator[tuple[int, int]]:
    named = set()
    if "bearer" in (lower := text.lower()) or "basic" in lower:
        named = {match.span(1) for match in _AFTER_SCHEME.finditer(text)}
    spans = sorted(named | {match.span() for match in _RUN.finditer(text)})
    end = 0
    for start, stop in spans:
        if start >= end and ((start, stop) in named or _is_secret(text[start:stop])):
            yield start, stop
            end = stop


def _is_secret(run: str) -> bool:
    if len(run) > _LONGEST_RUN:
        return _is_secret(run[:_LONGEST_RUN]) or _is_secret(run[-_LONGEST_RUN:])
    if any(next(iter(detector.analyze_string(run)), None) for detector in _DETECTORS):
        return True
    if _HUGGING_FACE.search(run) or (_HEX.search(run) and not run.isdigit()):
        return True
    if any(len(re.findall(r"\d+[^\d]", one)) > 2 for one in _ONE_CASE.findall(run)):  # noqa: PLR2004 # see there
        return True
    if any(_is_mixed(found.group()) for found in _MIXED.finditer(run)):
        return True
    mixed = re.search(r"[a-z]", run) and re.search(r"[A-Z]", run) and re.search(r"\d", run)
    return bool(mixed) and _ENTROPY_METER.calculate_shannon_entropy(run) > _ENTROPY


def _is_mixed(run: str) -> bool:
    """Whether lower case, upper case and digits follow each other as no words and numbers do."""
    kinds = ["d" if sign.isdigit() else "u" if sign.isupper() else "l" for sign in run]
    changes = sum(one != other for one, other in pairwise(kinds))
    return len(set(kinds)) == 3 and changes >= _CHANGES * len(run)  # noqa: PLR2004 # all of them


def _cards(text: str) -> Iterator[tuple[int, int]]:
    if not _CARD_LIKE.search(text):  # nearly always
        return
    for match in _CARD.finditer(text):
        groups = [
            (match.start() + group.start(), match.start() + group.end())
            for group in re.finditer(r"\d+", match.group())
        ]
        first = 0
        while first < len(groups):
            last = _card_from(text, groups, first)
            if last is not None:
                yield groups[first][0], groups[last][1]
            first = first + 1 if last is None else last + 1


def _card_from(text: str, groups: list[tuple[int, int]], first: int) -> int | None:
    """The last of the groups of digits that are a card's number, which begins with the first."""
    digits: list[int] = []
    for last in range(first, len(groups)):
        digits += map(int, text[groups[last][0] : groups[last][1]])
        if len(digits) >= _CARD_DIGITS.stop:
            return None
        if len(digits) in _CARD_DIGITS and digits[0] in {2, 3, 4, 5, 6} and _luhn(digits):
            return last
    return None


def _luhn(digits: Sequence[int]) -> bool:
    """The check digit of ISO/IEC 7812: every second digit from the right counts twice."""
    doubled = [digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[-2::-2]]  # noqa: PLR2004 # two digits then
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
