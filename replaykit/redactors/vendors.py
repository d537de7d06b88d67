"""Keys of single vendors, as their documentation gives the formats; since ``secrets/2``."""

from __future__ import annotations

import re

from replaykit.redactors.rule import Rule, token

__all__ = ["VENDOR_TOKENS"]

_WORD = rb"[A-Za-z0-9_-]"
_ALNUM = rb"[A-Za-z0-9]"
_HEX = rb"[0-9a-f]"
_BASE64 = rb"[A-Za-z0-9+/]"


def _secret_group(_data: bytes, match: re.Match[bytes]) -> tuple[int, int] | None:
    return match.span("secret")


def _between(name: str, head: bytes, middle: bytes, tail: bytes, *, reach: int) -> Rule:
    """Return a rule for a key whose mark stands inside: *head*, *middle* and *tail* are all of it."""
    return Rule(name=name, scan=head + middle + tail, exact=head + middle + tail, reach=reach)


_AZURE = (
    # A client secret of Entra ID: three characters, a digit, "Q~" and the rest.
    token("azure", rb"[A-Za-z0-9_~.-]{3}[0-9]Q~", rb"[A-Za-z0-9_~.-]", 31),
    # Keys with a fixed signature: DevOps, storage and its like, AI services.
    _between("azure", _ALNUM + rb"{76}", rb"AZDO", _ALNUM + rb"{4}", reach=128),
    _between("azure", _BASE64 + rb"{20}", rb"\+A(?:St|BS|CDb|MC)", _BASE64 + rb"{4,6}=", reach=128),
    _between("azure", _ALNUM + rb"{20}", rb"JQQJ99[A-D][A-L]", _ALNUM + rb"{20}", reach=128),
    # The signature of a shared access URL.
    Rule(
        name="azure",
        scan=rb"[?&;]sig=[A-Za-z0-9%+/_-]{20}",
        exact=rb"[?&;](?:amp;)?(?i:sig)=(?P<secret>[A-Za-z0-9%+/=_-]{20,}+)",
        caseless=True,
        locate=_secret_group,
    ),
)

_CLOUDS = (
    token("aws", rb"ABSK", rb"[A-Za-z0-9+/=]", 60),
    token("aws", rb"bedrock-api-key-", rb"[A-Za-z0-9+/=]", 20),
    token("aws", rb"amzn\.mws\.", rb"[0-9a-f-]", 32),
    token("google", rb"1//0", _WORD, 40, boundary=True),
    token("vendor", rb"(?:doo|dor)_v1_", _HEX, 32),
    token("vendor", rb"dapi", _HEX, 32, boundary=True),
    token("vendor", rb"dp\.(?:pt|st|ct|sa|scim|audit)\.", rb"[A-Za-z0-9_.-]", 32, boundary=True),
    token("vendor", rb"hv[sbr]\.", _WORD, 24, boundary=True),
    token("vendor", rb"[A-Za-z0-9]{14}\.atlasv1\.", _WORD, 40),
    token("vendor", rb"pscale_(?:tkn|pw|oauth)_", rb"[A-Za-z0-9_.-]", 24),
    token("vendor", rb"sbp_", _HEX, 32),
    token("vendor", rb"sb_secret_", _WORD, 16),
    token("vendor", rb"(?:HRKU-|fo1_|FlyV1 fm[12]r?_)", rb"[A-Za-z0-9+/=_-]", 24, boundary=True),
    token("vendor", rb"(?:nfp_|rnd_)", _ALNUM, 24, boundary=True),
    token("vendor", rb"pul-", _HEX, 40, boundary=True),
    token("vendor", rb"(?:gl(?:sa|c)_|NRAK-|NRII-|PMAK-)", rb"[A-Za-z0-9+/=_-]", 20),
    token("vendor", rb"(?:sntryu_|dckr_oat_)", _WORD, 16),
    token("vendor", rb"ops_eyJ", rb"[A-Za-z0-9+/=_-]", 60),
)

_FORGES = (
    token("gitlab", rb"(?:gloas-|glffct-|GR1348941)", _WORD, 16),
    token("pypi", rb"pypi-AgENdGVzdC5weXBpLm9yZ", _WORD, 16),
    token("vendor", rb"rubygems_", _HEX, 40),
    token("vendor", rb"cio", _ALNUM, 32, boundary=True),
    token("vendor", rb"oy2", rb"[a-z0-9]", 43, boundary=True),
    token("vendor", rb"CLOJARS_", _HEX, 40),
    token("vendor", rb"(?:ATATT3|ATCTT3|ATBB)", rb"[A-Za-z0-9+/=_-]", 24),
)

_MESSAGES = (
    # The identifier of a key; who has it knows half of a pair.
    token("twilio", rb"SK", _HEX, 32, boundary=True),
    token("mailgun", rb"key-", _HEX, 32, boundary=True),
    token("vendor", rb"[0-9a-f]{32}-us", rb"[0-9]", 1),
    token("vendor", rb"xkeysib-", _WORD, 40),
    token("telegram", rb"[0-9]{8,10}:AA", _WORD, 32, boundary=True),
    token("webhook", rb"discord(?:app)?\.com/api/webhooks/[0-9]{10,22}/", _WORD, 40),
)

_TOOLS = (
    token("notion", rb"ntn_", _ALNUM, 40),
    token("notion", rb"secret_", _ALNUM, 43, boundary=True),
    token("vendor", rb"pat[A-Za-z0-9]{14}\.", _HEX, 64, boundary=True),
    token("vendor", rb"pat-(?:na|eu|ap)[0-9]-", rb"[0-9a-fA-F-]", 32, boundary=True),
    token("vendor", rb"(?:r8_|jina_|csk-)", _ALNUM, 32, boundary=True),
    token("vendor", rb"tgp_v1_", _WORD, 32),
    token("vendor", rb"(?:fc-|e2b_)", _HEX, 32, boundary=True),
    token("vendor", rb"sl\.", _WORD, 80, boundary=True),
    token("vendor", rb"EAA", _ALNUM, 60, boundary=True),
)

VENDOR_TOKENS: tuple[Rule, ...] = _AZURE + _CLOUDS + _FORGES + _MESSAGES + _TOOLS
"""What ``secrets/2`` finds more than ``secrets/1``."""
