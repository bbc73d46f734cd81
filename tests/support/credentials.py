"""Made-up credentials of the common kinds, put together here so that no file holds one that looks real."""

import random
import string

ALNUM = string.ascii_letters + string.digits
URLSAFE = ALNUM + "-_"
HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + "234567"


def body(length: int, alphabet: str = ALNUM, seed: str = "") -> str:
    """Return random characters, the same in each run; letters and digits among them."""
    chosen = random.Random(f"{seed}/{length}/{alphabet}")
    return "".join(chosen.choices(alphabet, k=length - 4)) + alphabet[0] + alphabet[-1] + "4" + alphabet[0]


def _jwt() -> str:
    return ".".join(("ey" + "J" + body(33, URLSAFE), "ey" + "J" + body(80, URLSAFE), body(43, URLSAFE)))


def _private(kind: str, key: str) -> str:
    lines = (f"-----{word} {kind} PRI" + "VATE KEY-----" for word in ("BEGIN", "END"))
    return f"\n{key}\n".join(lines)


KNOWN = {
    "aws": ("AK" + "IA", body(16, UPPER)),
    "aws-session": ("AS" + "IA", body(16, UPPER)),
    "github": ("gh" + "p_", body(36)),
    "github-oauth": ("gh" + "o_", body(36)),
    "github-user": ("gh" + "u_", body(36)),
    "github-server": ("gh" + "s_", body(36)),
    "github-refresh": ("gh" + "r_", body(36)),
    "github-fine": ("github" + "_pat_", body(22) + "_" + body(59)),
    "gitlab": ("gl" + "pat-", body(20, URLSAFE)),
    "slack": ("xo" + "xb-", "123456789012-123456789012-" + body(24)),
    "slack-app": ("xa" + "pp-", "1-A0123456789-1234567890123-" + body(64, HEX)),
    "openai": ("s" + "k-", body(48)),
    "openai-project": ("s" + "k-proj-", body(156, URLSAFE)),
    "anthropic": ("s" + "k-ant-", "api03-" + body(93, URLSAFE) + "AA"),
    "huggingface": ("h" + "f_", body(34)),
    "google": ("AI" + "za", body(35, URLSAFE)),
    "google-oauth": ("ya" + "29.", body(120, URLSAFE)),
    "stripe": ("s" + "k_live_", body(24)),
    "stripe-restricted": ("r" + "k_live_", body(24)),
    "sendgrid": ("S" + "G.", body(22, URLSAFE) + "." + body(43, URLSAFE)),
    "twilio": ("S" + "K", body(32, HEX)),
    "npm": ("np" + "m_", body(36)),
    "pypi": ("py" + "pi-Ag", "EIcHlwaS5vcmc" + body(90, URLSAFE)),
    "digitalocean": ("do" + "p_v1_", body(64, HEX)),
    "vault": ("hv" + "s.", body(92, URLSAFE)),
    "databricks": ("da" + "pi", body(32, HEX)),
    "grafana": ("gl" + "sa_", body(32) + "_" + body(8, HEX)),
    "docker": ("dckr" + "_pat_", body(27, URLSAFE)),
    "tailscale": ("ts" + "key-auth-", body(18) + "-" + body(32)),
    "replicate": ("r" + "8_", body(37)),
    "groq": ("gs" + "k_", body(52)),
    "age": ("AGE-" + "SECRET-KEY-1", body(58, UPPER)),
    "shopify": ("sh" + "pat_", body(32, HEX)),
}
"""By kind: what tells it, which may be shown, and the rest."""

WHOLE = {
    "jwt": _jwt(),
    "telegram": "12345678" + "90:A" + body(34, URLSAFE),
    "discord": "M" + body(24, URLSAFE) + "." + body(6, URLSAFE) + "." + body(30, URLSAFE),
    "terraform": body(14) + ".atlas" + "v1." + body(64, URLSAFE),
    "slack-webhook": "https://hooks.slack" + ".com/services/T0123456/B0123456/" + body(24),
    "pem": _private("RSA", body(64) + "\n" + body(30)),
    "ssh": _private("OPENSSH", body(70)),
}
"""Those of which a part in the middle is looked for."""

PLAIN = "hunter2x"
"""A password, which nothing but its place tells."""
AWS_SECRET = body(40, ALNUM + "+/", "aws")
HEXADECIMAL = body(40, HEX, "wandb")
