"""
The table of rules: what a secret looks like.

A rule has two patterns over UTF-8 bytes.  *scan* finds candidates anywhere,
also in packed data, and runs in Hyperscan: no lookaround, bounded repeats, one
end per candidate.  *exact* decides in the bytes of one text, where word
boundaries mean something; whatever it matches, *scan* must find too.
"""

from __future__ import annotations

import base64
import binascii
import re

from replaykit.redactors.elements import element_span, named_span
from replaykit.redactors.model_tokens import is_model_token_in_text
from replaykit.redactors.pairs import (
    EXACT_NAME,
    EXACT_NAME_OF_MANY,
    NAME,
    NAME_OF_MANY,
    PLURAL_NAME,
    couple_span,
    header_span,
    pair_span,
    tag_span,
)
from replaykit.redactors.personal import PERSONAL
from replaykit.redactors.rule import Rule, Span, token
from replaykit.redactors.structures import escaped_name_span, value_span
from replaykit.redactors.vendors import VENDOR_TOKENS

__all__ = ["CURRENT", "KEY", "KEY_SCAN", "RULES_OF"]

CURRENT = {"secrets": "secrets/3", "pii": "pii/1"}
"""
The version of each rule set that new sessions use.

It changes whenever the same value could be redacted differently than before.
"""

KEY = "key"
"""The name in the placeholder of a value under a secret name."""


def _secret_group(_data: bytes, match: re.Match[bytes]) -> Span | None:
    return match.span("secret")


def _jwt_span(data: bytes, match: re.Match[bytes]) -> Span | None:
    """Return the token around a match of its second part; None without a first part."""
    before = data[max(0, match.start() - 16384) : match.start()]
    head = before[len(before.rstrip(_URL_SAFE)) :]
    begin = head.find(b"eyJ")
    return None if begin < 0 else (match.start() - len(head) + begin, match.end())


_URL_SAFE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"


def _pem_span(data: bytes, match: re.Match[bytes]) -> Span | None:
    """Return the whole block; without an end, everything after the beginning that could be key."""
    closing = _PEM_END.search(data, match.end(), match.end() + 16384)
    if closing:
        return match.start(), closing.end()
    rest = _PEM_BODY.match(data, match.end())
    return match.start(), rest.end() if rest else match.end()


_PEM_END = re.compile(rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,8}-----")
_PEM_BODY = re.compile(rb"[A-Za-z0-9+/=\s\\:,.-]*+")


def _bearer_span(_data: bytes, match: re.Match[bytes]) -> Span | None:
    """Return the token, unless it is an ordinary word ("bearer authentication")."""
    token = match["secret"]
    return None if re.fullmatch(rb"[A-Za-z]?[a-z]+[.-]?", token) else match.span("secret")


def _basic_span(_data: bytes, match: re.Match[bytes]) -> Span | None:
    """Return the credentials if they decode to ``user:password``."""
    text = match["secret"].rstrip(b"=")
    try:
        decoded = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return None
    user, colon, _ = decoded.partition(b":")
    return match.span("secret") if colon and all(32 <= byte < 127 for byte in user) else None


_WORD = rb"[A-Za-z0-9_-]"
_ALNUM = rb"[A-Za-z0-9]"
_VENDORS = (
    rb"(?:pcsk_|xai-|pplx-|nvapi-|tvly-|lsv2_[ps][tk]_|dop_v1_|shp(?:at|ca|pa|ss)_|sq0(?:atp|csp)-"
    rb"|lin_api_|dckr_pat_|sntry[su]_|figd_|AGE-SECRET-KEY-1)"
)

_TOKENS = (
    token("openai", rb"sk-", _WORD, 16, boundary=True),
    # Without a boundary (a length byte of another format may stand before
    # it) only what no hyphenated words look like.
    token("openai", rb"sk-(?:proj-|ant-[a-z]{3}[0-9]{2}-|svcacct-|or-v1-)?", rb"[A-Za-z0-9]", 20),
    token("stripe", rb"[sr]k_(?:live|test)_", _ALNUM, 10, boundary=True),
    token("stripe", rb"[sr]k_(?:live|test)_", _ALNUM, 20),
    token("aws", rb"A(?:KI|SI|BI|CC)A", rb"[A-Z0-9]", 16),
    token("github", rb"(?:gh[pousr]_|github_pat_)", rb"[A-Za-z0-9_]", 20),
    token("gitlab", rb"gl(?:pat|dt|rt|cbt|ptt|ft|soat|imt|agent)-", _WORD, 16),
    token("slack", rb"(?:xox[abceoprs]-|xapp-)", _WORD, 10),
    token("google", rb"AIza", _WORD, 30),
    token("google", rb"(?:ya29\.|GOCSPX-)", _WORD, 20),
    token("webhook", rb"whsec_", rb"[A-Za-z0-9+/=]", 20),
    token("webhook", rb"hooks\.slack\.com/services/", rb"[A-Za-z0-9/]", 20),
    token("huggingface", rb"hf_", _ALNUM, 20),
    token("groq", rb"gsk_", _ALNUM, 20),
    token("npm", rb"npm_", _ALNUM, 30),
    token("pypi", rb"pypi-AgEI", _WORD, 16),
    token("vendor", _VENDORS, _WORD, 16),
)

_SHAPES = (
    Rule(
        name="sendgrid",
        scan=rb"SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16}",
        exact=rb"SG\.[A-Za-z0-9_-]{16,64}+\.[A-Za-z0-9_-]{16,}+",
        reach=192,
    ),
    Rule(
        name="jwt",
        scan=rb"[A-Za-z0-9_-]{5}\.eyJ[A-Za-z0-9_-]{2}",
        exact=rb"\.eyJ[A-Za-z0-9_-]{2,}+(?:\.[A-Za-z0-9_-]*+)?",
        locate=_jwt_span,
    ),
    Rule(
        name="pem",
        scan=rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY",
        exact=rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,8}(?:-----)?",
        reach=128,
        locate=_pem_span,
    ),
    Rule(
        name="bearer",
        scan=rb"bearer(?:[ \t:=]|%20){1,4}[A-Za-z0-9._~+/-]{8}",
        exact=rb"(?i:bearer)(?:[ \t:=]|%20){1,4}(?P<secret>[A-Za-z0-9._~+/-]{8,}+=*+)",
        caseless=True,
        begins=rb"bearer",
        locate=_bearer_span,
    ),
    Rule(
        name="basic",
        scan=rb"basic(?:[ \t]|%20){1,4}[A-Za-z0-9+/]{4}",
        exact=rb"(?i:basic)(?:[ \t]|%20){1,4}(?P<secret>[A-Za-z0-9+/]{4,}+={0,2})",
        caseless=True,
        begins=rb"basic",
        locate=_basic_span,
    ),
    Rule(
        name="url",
        scan=rb"://[^\s/:@\x22'<>]{0,64}:[^\s/\x22'<>]{1,256}@",
        # Greedy: a password may hold an @ itself, the last one ends it.
        exact=rb"://[^\s/:@\"'<>]{0,64}+:(?P<secret>[^\s/\"'<>]{1,256})@",
        reach=400,
        locate=_secret_group,
    ),
)

_BETWEEN = rb"[\\\x22'\]]{0,9}[ \t]{0,4}"
_SEPARATOR = rb"(?::=|=>|=|:|%3D)[ \t]{0,4}"

_PAIRS = (
    Rule(
        name="pair",
        scan=NAME + _BETWEEN + _SEPARATOR + rb"[^\s=]",
        exact=rb"(?i:(?P<name>" + EXACT_NAME + rb"))" + _BETWEEN + rb"(?P<separator>" + _SEPARATOR + rb")",
        caseless=True,
        begins=NAME,
        locate=pair_span,
    ),
    Rule(
        name="pair",
        scan=rb"(?:authorization|cookie):[ \t]{0,4}[^\s]",
        exact=rb"(?i:(?P<name>authorization|cookie)):[ \t]{0,4}(?=\S)",
        caseless=True,
        begins=rb"authorization|cookie",
        locate=header_span,
    ),
    Rule(
        name="pair",
        scan=rb"--[A-Za-z0-9_-]{0,40}" + NAME + rb"[ \t]{1,4}[^\s-]",
        exact=(rb"--[A-Za-z0-9_-]{0,40}?(?i:(?P<name>" + EXACT_NAME + rb"))(?P<separator>[ \t]{1,4})(?=[^\s-])"),
        caseless=True,
        locate=pair_span,
    ),
    Rule(
        name="pair",
        scan=rb"\(b?[\x22'][A-Za-z0-9_.-]{0,40}" + NAME + rb"[\x22'], ?b?[\x22']",
        exact=rb"\(b?[\"'][A-Za-z0-9_.-]{0,40}?(?i:(?P<name>" + EXACT_NAME + rb"))[\"'], ?(?=b?[\"'])",
        caseless=True,
        locate=couple_span,
    ),
    Rule(
        name="pair",
        scan=rb"<[A-Za-z0-9_:.-]{0,40}" + NAME + rb">[^\s<]",
        exact=rb"<[A-Za-z0-9_:.-]{0,40}?(?i:(?P<name>" + EXACT_NAME + rb"))>(?=[^\s<])",
        caseless=True,
        locate=tag_span,
    ),
)

# -- since secrets/3: whatever structure a value has, `redactors.structures` finds where it ends ---


def _named_span(data: bytes, match: re.Match[bytes]) -> Span | None:
    """Return where the value under a secret's name is; None for a model's tokens, or if it is no secret."""
    return None if is_model_token_in_text(data, match) else value_span(data, match)


_GAP = rb"[ \t\r\n]{0,64}"
_ESCAPED = rb"\\(?:u00|x)(?:2[0de]|[4-7][0-9a-f])"
_CALLED = rb"(?:key|name)\\{0,7}[\x22']?[ \t]{0,4}[=:][ \t]{0,4}\\{0,7}[\x22'][A-Za-z0-9_.:/ -]{0,40}"

_PASSWORD_WITH_SLASH = Rule(
    name="url",
    scan=rb"://[^\s/:@\x22'<>]{0,64}:[^\s\x22'<>]{1,256}@",
    # A port is no password, nor is a drive a user.
    exact=(
        rb"://(?!\[|[A-Za-z]:[/\\])[^\s/:@\"'<>]{0,64}+:(?![0-9]{0,5}/)"
        rb"(?P<secret>[^\s@/\"'<>]{0,256}+/[^\s\"'<>]{0,256}?)@(?=[^\s/@\"'<>]{0,256}+(?:[/?#\s\"'<>\\]|\Z))"
    ),
    reach=700,
    locate=_secret_group,
)

_STRUCTURES = (
    Rule(
        name="pair",
        scan=NAME_OF_MANY + rb"[\\\x22'\]]{0,9}" + _GAP + rb"(?::=|=>|=|:|%3D)",
        exact=(
            rb"(?i:" + EXACT_NAME_OF_MANY + rb")(?P<quote>[\\\"'\]]{0,9}+)(?P<gap>" + _GAP + rb")"
            rb"(?P<separator>(?::=|=>|=|:|%3D)[ \t]*+)"
        ),
        caseless=True,
        reach=112,
        begins=NAME,
        locate=_named_span,
    ),
    *_PAIRS[1:4],
    Rule(
        name="pair",
        scan=rb"<[A-Za-z0-9_:.-]{0,40}" + NAME_OF_MANY + rb"[\s>]",
        exact=(rb"<(?P<tag>[A-Za-z0-9_:.-]{0,40}?(?i:" + EXACT_NAME_OF_MANY + rb"))(?P<rest>(?=[\s>])[^<>]*+)>"),
        caseless=True,
        locate=element_span,
    ),
    Rule(
        name="pair",
        scan=_CALLED + NAME_OF_MANY + rb"[\x22'\\]",
        exact=rb"(?i:" + _CALLED.replace(b"{0,40}", b"{0,40}?") + EXACT_NAME_OF_MANY + rb")\\{0,7}[\"']",
        caseless=True,
        reach=128,
        begins=rb"key|name",
        locate=named_span,
    ),
    Rule(
        name="pair",
        scan=_ESCAPED,
        exact=rb"(?i:" + _ESCAPED + rb")",
        caseless=True,
        locate=escaped_name_span,
    ),
    _PASSWORD_WITH_SLASH,
)

_FIRST = _TOKENS + _SHAPES + _PAIRS
RULES_OF: dict[str, tuple[Rule, ...]] = {
    "secrets/1": _FIRST,
    "secrets/2": _FIRST + VENDOR_TOKENS,
    "secrets/3": _TOKENS + _SHAPES + _STRUCTURES + VENDOR_TOKENS,
    "pii/1": PERSONAL,
}
"""The rules of each version that a session may state; where two overlap, the earlier one gives its name."""

_LABEL = rb"\xa5value.*(?:name|key)(?:[\xa0-\xbf]|\xd9.|\xda..|\xdb....)(?:[\x00-\x7f]|[\xc2-\xf4][\x80-\xbf]{1,3})*"

KEY_SCAN = (
    rb"(?:" + NAME + rb"\]?(?:[\x80-\xbf\xc4-\xdf]|\z)"
    rb"|" + PLURAL_NAME + rb"s\]?(?:[\x80-\xbf\xc4-\xc9\xd4-\xdf]|\z)"
    rb"|" + _LABEL + NAME + rb")"
)
"""
A secret name that is followed by the packed header of a text, bytes, list, map or number, or by nothing.

None, booleans and whole numbers from -32 to 127, which have one-byte headers
of their own, do not match; under a name in the plural no number does.  Behind
the key ``value`` a secret name may be the text under ``name`` or ``key``, and
whatever follows it matches.
"""
