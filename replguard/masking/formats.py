"""Credentials that are known by how they look, wherever they stand: tokens with a prefix, private keys, URLs.

Each expression takes time that is linear in the text: what may fail after a long way is bounded or begins only where
nothing of its kind stands before.
"""

import re

from replguard.masking.acts import literal

HIDDEN = "***"

_PREFIXED = {
    r"[A-Za-z0-9]{16,}+": "gh[pousr]_ hf_ api_org_ npm_ gsk_ r8_ lin_api_ rubygems_ nvapi- pplx- xai- tgp_v1_ sntryu_"
    " figd_ ATCTT3 AKCp cmVmd shp(?:at|ca|pa|ss)_ rdme_ pnu_ ntn_ EZ[AT]K NR(?:AK|JS|II)- pul- HRKU-AA sk-(?:or-v1-)?"
    " [sr]k_(?:live|test|prod)_ do[opr]_v1_ dapi K10",
    r"[\w-]{16,}+": "github_pat_ gl(?:pat|dt|ft|rt|soat|ptt|imt|agent|oas|cbt|ffct)- GR1348941 sk-(?:proj|svcacct|admin"
    "|ant|lf|None)- AIza GOCSPX- ya29\\. 1//0 pypi-Ag dckr_pat_ glsa_ PMAK- tskey-[a-z]{2,10}- lsv2_[a-z]{2}_ jina_"
    " sq0[ac][ts]p- hv[sbr]\\. dp\\.[a-z]{2,3}\\. ATATT3 sgp_ fo1_ v1\\.0-[0-9a-f]{24}- sha256~ xkeysib- fio-u- whsec_"
    " shippo_(?:live|test)_ sm_[aps]at_ duffel_(?:test|live)_ pscale_(?:tkn|oauth|pw)_ wandb_v1_ secret_(?=\\w{40})",
    r"[\w+/=.~-]{16,}+": "glc_ fm[12][ar]?_ ABSK bedrock-api-key- ops_eyJ sntrys_ dt0[cs]01\\. eyJrIjoi LTAI",
    r"[\w-]{10,}+": "xox[a-z](?:\\.xox[a-z])?- xapp-",
    r"[A-Z0-9]{12,}+": "AKIA ASIA ABIA ACCA A3T AGE-SECRET-KEY-1",
}
"""What may follow a prefix, and the prefixes, as expressions."""

_MIXED = "(?!-)" + "".join(rf"(?=[\w.~+/=-]{{0,64}}[{kind}])" for kind in ("A-Z", "a-z", "0-9")) + r"[\w.~+/=-]{16,}+"
"""What no name of a unit or a container looks like."""
_SHAPED = (
    (r"SK", r"[0-9a-f]{32}(?![A-Za-z0-9])"),  # Twilio
    (r"s\.", r"[A-Za-z0-9]{24}(?![\w.-])"),  # Vault, before 1.10
    (r"SG\.", r"[\w-]{16,64}+\.[\w-]{16,}+"),  # SendGrid
    (r"", r"[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{20,}+"),  # Terraform
    (r"(?<![\w-])eyJ", r"[\w-]{8,}+\.[\w-]{2,}+(?:\.[\w-]*+){0,3}"),  # JWT, JWE
    (r"(?<![\w-])[MNO]", r"[\w-]{23,26}\.[\w-]{6}\.[\w-]{25,}+"),  # Discord
    (r"", r"[\w~.]{3}[0-9]Q~[\w~.-]{31,34}(?![\w~.-])"),  # Entra ID
    (r"bot[0-9]{6,12}:|[0-9]{8,12}:(?=A)", r"[\w-]{33,}+"),  # Telegram
    (r"pat", r"[A-Za-z0-9]{14}\.[0-9a-f]{64}"),  # Airtable
    (r"", r"[0-9a-f]{32}-us[0-9]{1,2}(?!\w)"),  # Mailchimp
    (r"key-", r"[0-9a-f]{32}(?!\w)"),  # Mailgun
    (r"(?i:bearer)\s+", rf"(?:{_MIXED}|[0-9a-f]{{20,}}+(?![\w-]))"),
    (r"jdbc:oracle:[a-z]{1,8}:[^\s/@:'\"]{1,64}/", r"[^\s@'\"]{1,128}+(?=@)"),
    (r"hooks\.slack\.com/[a-z]+/", r"[\w+/=-]{8,}+"),
    (r"discord(?:app)?\.com/api/webhooks/[0-9]+/", r"[\w-]{8,}+"),
    (r"webhook\.office\.com/webhookb2/", r"[^\s\0'\"]{8,}+"),
)
"""Each with what is kept of it and what is not."""
_PEM = r"(-----BEGIN[A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----)(?:[A-Za-z0-9+/=\s\\:,]++|-(?!----END))++"
_URL = (
    r"((?<=[A-Za-z0-9]{2})://[^\s/?#@:\0'\"]{0,128}+:)(?![0-9]{1,5}(?:[/?#\s\0'\",]|$))"
    r"[^\s\0'\"@]{1,256}+(?:@[^\s/?#@\0'\"]{1,256}+(?=@))*+(?=@[\w\[{$%*])"
)
_URL_USER = r"((?<=[A-Za-z0-9]{2})://)(?=[\w.~-]*[0-9])[\w.~-]{20,256}+(?=@[\w\[{$%*])"


def _expression() -> str:
    parts = [f"((?:{'|'.join(prefixes.split())})){body}" for body, prefixes in _PREFIXED.items()]
    parts += [f"({kept}){body}" for kept, body in _SHAPED]
    return rf"(?<![A-Za-z0-9])(?:{'|'.join(parts)})|{_PEM}|{_URL}|{_URL_USER}"


_PREFIXES = "|".join(prefix for text in _PREFIXED.values() for prefix in text.split())
SHOWN = re.compile(rf"(?:{_PREFIXES})\*{{3}}")
"""What is shown of one with a prefix."""
_KNOWN = re.compile(_expression())
SIGNS = (
    r"(?:^|[^A-Za-z0-9])(?:"
    + re.sub(r"\(\?=.*?\)", "", _PREFIXES)
    + r"|SK[0-9a-f]{8}|s\.[A-Za-z0-9]{8}|SG\.|eyJ|[0-9]{6,12}:A|bot[0-9]{6}|pat[A-Za-z0-9]{14}\.|key-[0-9a-f]{8}"
    r"|(?i:bearer)\s|hooks\.slack\.com|discord(?:app)?\.com|webhook\.office\.com|jdbc:oracle)"
    r"|\.atlasv1\.|[0-9]Q~|-us[0-9]|\b[MNO][\w-]{23,26}\.|-----BEGIN|://[^\s\x00'\"]*@"
)
"""Where this is not found, for RE2, nothing of the kind is."""


def hide(text: str) -> str:
    """Return the text with ``***`` for each credential, behind the prefix that tells its kind. NUL parts arguments."""
    return _KNOWN.sub(_kept, text)


def _kept(match: re.Match[str]) -> str:
    kept = match[match.lastindex] if match.lastindex else ""
    value = match[0][len(kept) :]
    return kept + HIDDEN if literal(value) == len(value) else match[0]
