from __future__ import annotations

import base64
import json
import random
import string
import time

import pytest

from encoders.redaction import KINDS, Redactor


def jwt() -> str:
    parts = ({"alg": "HS256", "typ": "JWT"}, {"sub": "1234567890", "name": "Ann"})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts]
    return ".".join([*(part.rstrip("=") for part in encoded), "SflKxwRJSMeKKF2QT4fwpMeJf36POk6y"])


RANDOM = "".join(random.Random(3).choices(string.ascii_letters + string.digits, k=40))
HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

FOUND = [
    # English
    ("write to ann.lee+shop@mail.example.co.uk please", "write to [email] please"),
    ("Call me at (415) 555-2671 tonight.", "Call me at [phone] tonight."),
    ("my number: +44 20 7946 0958", "my number: [phone]"),
    ("call 415-555-2671 or +86 138 1234 5678", "call [phone] or [phone]"),
    ("card 4111 1111 1111 1111 exp 12/27", "card [card] exp 12/27"),
    ("amex 378282246310005 declined", "amex [card] declined"),
    ("pay with 5555-5555-5555-4444.", "pay with [card]."),
    ("my server 192.168.10.254 is down", "my server [ip] is down"),
    ("from 2001:0db8:85a3:0000:0000:8a2e:0370:7334 and fe80::1ff:fe23:4567:890a",
     "from [ip] and [ip]"),
    (f"key {RANDOM}", "key [token]"),
    (f"sha {HEX}", "sha [token]"),
    (f"here: {jwt()}", "here: [token]"),
    ("aws AKIAIOSFODNN7EXAMPLE", "aws [token]"),
    ("ghp_" + "a1B2" * 9, "[token]"),
    ("Authorization: Bearer abc.def-123456", "Authorization: Bearer [token]"),
    ("4111 1111 1111 1111 12/27", "[card] 12/27"),
    ("4111111111111111 123 cvv", "[card] 123 cvv"),
    ("pay 2 4111 1111 1111 1111", "pay 2 [card]"),
    ("IP:192.168.0.1, a:1.2.3.4.", "IP:[ip], a:[ip]."),
    ("link fe80::1 or fd00::5", "link [ip] or [ip]"),
    ("schreib an jörg@müller.de oder ann@bücher.example", "schreib an [email] oder [email]"),
    ("почта анна@пример.рф здесь", "почта [email] здесь"),
    ("key hf_" + "abcdefghijklmnopqrstuvwxyzABCDEFGH", "key [token]"),
    ("secret k3v9x0q7m2z8c4b6n1w5t0y3u7i2o9p4", "secret [token]"),
    ("totp JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "totp [token]"),
    ("pass aB3dE5fG7hJ9kL2mN4pQ", "pass [token]"),
    ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "Authorization: Basic [token]"),
    ("card 4111.1111.1111.1111 ok", "card [card] ok"),
    ("card 4111\u00a01111\u00a01111\u00a01111", "card [card]"),
    ("card 4111\u20111111\u20111111\u20111111", "card [card]"),
    ("card 4111–1111–1111–1111", "card [card]"),
    ("::ffff:1.2.3.4 hello", "[ip] hello"),
    ("from 64:ff9b::192.0.2.33, 10.0.0.1", "from [ip], [ip]"),
    # Chinese: no space, no word boundary, full-width punctuation
    ("请联系我的邮箱zhang.wei@example.cn，谢谢", "请联系我的邮箱[email]，谢谢"),
    ("写信到zhang@例子.中国吧，或zhang@mail.公司", "写信到[email]吧，或[email]"),
    ("我的邮箱ann@example.org请联系", "我的邮箱[email]请联系"),
    ("我的手机号是13812345678请回电", "我的手机号是[phone]请回电"),
    ("电话：+86 138 1234 5678。", "电话：[phone]。"),
    ("座机010-62345678找王经理", "座机[phone]找王经理"),
    ("卡号4111111111111111已过期", "卡号[card]已过期"),
    ("服务器地址是10.0.0.12，连不上", "服务器地址是[ip]，连不上"),
    ("邮箱ann＠example.org，用户@例子.中国", "邮箱[email]，[email]"),
    ("用户@qq.com user@中文.com 田中@例え.jp", "[email] [email] [email]"),
    ("邮箱ann@example.org。Thanks", "邮箱[email]。Thanks"),
    ("卡号４１１１１１１１１１１１１１１１。", "卡号[card]。"),
    ("手机１３８１２３４５６７８", "手机[phone]"),
    ("座机（010）62345678", "座机[phone]"),
    ("地址192。168。1。1。好", "地址[ip]。好"),
    ("地址１９２.168.0.1", "地址[ip]"),
    (f"密钥是{RANDOM}不要外传", "密钥是[token]不要外传"),
    ("密钥AKIAIOSFODNN7EXAMPLE泄露了", "密钥[token]泄露了"),
]  # fmt: skip

KEPT = [
    "",
    "A space crew meets a deadly alien on its ship",
    "Blade Runner 2049 (2017), 163 min, 4.5/5 from 1,234,567 votes",
    "iphone-15-pro-max-256gb-natural-titanium, 2 for $1999.00",
    "order 2026-11-22 10:30:15, version 1.2.3, ratio 16:9, score 3:2",
    "std::vector and a::b and :: alone",
    "noise-cancelling over-the-ear headphones",
    "ISBN 978-3-16-148410-0",
    "Scream 2 (1997) 10304",
    "999.999.999.999 is no address",
    "这部电影真的很好看，第2部比第1部更好，评分9.8",
    "用户名@群主 大家好",
    "internationalization/localization-of-everything",
    "4111 1111 1111 1112",
    "thelordoftheringsthereturnoftheking2003extendededition",
    "https://www.imdb.com/title/tt0111161/reviews?ref_=tt_ov_rt",
    "https://example.org/2026/11/22/the-100-best-films-of-the-21st-century-part-2",
    "Sony WH1000XM4, ThinkPadX1CarbonGen11, iPhone15ProMax256GB, Samsung QN65QN90CAFXZA",
    "2026.11.22 10.30.15, 1.234.567.890.123 won, build 4.5.6.7890",
    "ISBN 9780306406157 and 0-306-40615-2, EAN 4006381333931",
    "Pneumonoultramicroscopicsilicovolcanoconiosis, DONAUDAMPFSCHIFFFAHRTSGESELLSCHAFT",
    "basic authorization of users, a basic film, Basic Instinct (1992)",
    "好看。1。2。不错，第3。4季",
    "全角ＡＢＣ１２３和　空格—不变",
    "snake_case_name_of_a_function_2, kebab-case-name-of-a-thing-3",
]


@pytest.mark.parametrize(("text", "expected"), FOUND)
def test_what_looks_like_personal_data_goes(text: str, expected: str) -> None:
    redactor = Redactor()
    assert redactor.redact(text) == expected
    assert sum(redactor.found.values()) == expected.count("[")
    assert redactor.redact(expected) == expected


@pytest.mark.parametrize("text", KEPT)
def test_other_texts_stay_as_they_are(text: str) -> None:
    redactor = Redactor()
    assert redactor.redact(text) == text
    assert redactor.found == dict.fromkeys(KINDS, 0)


def test_all_kinds_in_one_text() -> None:
    text = f"{RANDOM} ann@example.org 13812345678, 4111111111111111 at 10.1.2.3"
    assert Redactor().redact(text) == "[token] [email] [phone], [card] at [ip]"


def test_only_the_kinds_asked_for() -> None:
    redactor = Redactor(["email"])
    assert redactor.redact("a@example.org, 13812345678") == "[email], 13812345678"
    assert redactor.found == {"email": 1}


def test_numbers_without_a_plus_belong_to_a_region() -> None:
    text = "030 901820 or +49 30 901820"
    assert Redactor(phone_regions=["DE"]).redact(text) == "[phone] or [phone]"
    assert Redactor(phone_regions=[]).redact(text) == "030 901820 or [phone]"


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot redact 'name'; known: email, ip, token, card"):
        Redactor(["name"])
    with pytest.raises(ValueError, match="region 'XY'; expected two letters"):
        Redactor(phone_regions=["XY"])


@pytest.mark.parametrize(
    "text",
    [
        "1" * 20_000,
        "a@" * 10_000,
        "1.1." * 5_000,
        "a:" * 10_000,
        "x" * 20_000,
        "1 " * 10_000,
        "sk-" * 7_000,
        "415-555-2671 " * 1_500,
        "4111 " * 4_000,
        "ghp_" * 5_000,
        "eyJ" * 6_000,
    ],
)
def test_long_texts_of_one_sign_take_no_longer(text: str) -> None:
    started = time.process_time()
    Redactor().redact(text)
    # Milliseconds as a rule; by the square of the length it would be many seconds.
    assert time.process_time() - started < 5
