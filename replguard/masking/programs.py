"""Programs that take a credential by an option of one letter, or by its place among their words."""

import re
from typing import NamedTuple

from replguard.masking.names import Kind


class Rule(NamedTuple):
    """An option whose value is a credential, or (``place``) the how-manyth word that is one.

    ``apart`` and ``joined``: the value is the next word, or follows at once. ``after`` is a word that comes before.
    ``sign``: only what follows it in the value is the credential.
    """

    option: str = ""
    apart: bool = True
    joined: bool = True
    sign: str = ""
    after: str = ""
    place: int = 0
    kind: Kind = Kind.ALWAYS


_LDAP = "ldapsearch ldapadd ldapmodify ldapdelete ldappasswd ldapwhoami ldapcompare ldapmodrdn ldapexop"
_MYSQL = (
    "mysql mysqldump mysqladmin mysqlimport mysqlcheck mysqlshow mysqlpump mysqlslap mysqlbinlog mysqlsh mycli mariadb"
    " mariadb-dump mariadb-admin mariadb-import mariadb-check mariadb-show mariadb-binlog mydumper"
)
_SAMBA = "smbclient rpcclient smbget smbcacls smbtree net mount.cifs"
_TABLE: dict[str, tuple[Rule, ...]] = {
    _MYSQL: (Rule("-p", apart=False),),
    "mysqladmin mariadb-admin": (Rule(after="password", place=1),),
    "7z 7za 7zr 7zz rar unrar": (Rule("-p", apart=False), Rule("-hp", apart=False)),
    "sshpass rdesktop mongo mongosh mongodump mongorestore mongoexport mongoimport cqlsh beeline rabbitmqadmin useradd"
    " usermod ncftpput ncftpget megaput megaget megadl": (Rule("-p"),),
    "docker podman nerdctl buildah skopeo helm oras crane regctl az oc argocd": (Rule("-p", after="login"),),
    "redis-cli valkey-cli keydb-cli": (
        Rule("-a"),
        *(Rule(after=word, place=place) for word in ("AUTH", "auth") for place in (2, 1)),
    ),
    "twine": (Rule("-p", after="upload"),),
    "doctl influx": (Rule("-t"),),
    _LDAP: (Rule("-w"),),
    "sqlcmd bcp zip unzip mosquitto_pub mosquitto_sub ipmitool": (Rule("-P"),),
    "ssh-keygen": (Rule("-P"), Rule("-N")),
    "snmpwalk snmpget snmpset snmpbulkwalk": (Rule("-c"), Rule("-A"), Rule("-X")),
    "openssl": (
        Rule(after="-salt", place=2),
        Rule(after="passwd", place=1),
        Rule("-k", joined=False),
        Rule("-K", joined=False),
        Rule("-pass", joined=False, kind=Kind.SOURCE),
    ),
    "curl": (
        *(Rule(option, sign=":") for option in ("-u", "-U", "-E", "--user", "--proxy-user", "--cert")),
        Rule("-b", sign="="),
        Rule("--oauth2-bearer"),
    ),
    "http https httpie xh hey": (Rule("-a", sign=":"),),
    "ab": (Rule("-A", sign=":"), Rule("-P", sign=":")),
    "lftp": (Rule("-u", sign=","),),
    _SAMBA: (Rule("-U", sign="%"), Rule("--user", sign="%"), Rule(after="use", place=2)),
    "sqlplus sqlldr exp imp expdp impdp": (Rule(place=1, sign="/"),),
    "pkcs11-tool": (Rule("--pin"), Rule("--so-pin")),
    "gh": (Rule("--body", after="secret"), Rule("-b", after="secret")),
    "xfreerdp xfreerdp3 wlfreerdp": (Rule("/p:", apart=False),),
    "vault": (Rule(after="login", place=1), Rule(after="unseal", place=1)),
    "wandb": (Rule(after="login", place=1),),
    "ngrok": (Rule(after="authtoken", place=1), Rule(after="add-authtoken", place=1)),
    "mc": (Rule(after="set", place=4), Rule(after="add", place=4), Rule(after="user", place=4)),
    "b2": (Rule(after="authorize-account", place=2), Rule(after="authorize", place=2)),
    "nmcli": (Rule(after="password", place=1),),
    "cloudflared": (Rule(after="install", place=1),),
    "rclone": (Rule(after="obscure", place=1),),
    "htpasswd": (Rule(after="-n", place=2), Rule(after="-b", place=3)),
    "mega-login wpa_passphrase": (Rule(place=2),),
}
PROGRAMS: dict[str, tuple[Rule, ...]] = {}
for _names, _rules in _TABLE.items():
    for _name in _names.split():
        PROGRAMS[_name] = (*PROGRAMS.get(_name, ()), *_rules)
_ZIP = re.compile(r"-[qrjyvo0-9TmXDglLkuf]{1,12}(P.*)", re.DOTALL)
CLUSTERS = {
    "curl": re.compile(r"-[sSLkfvigIjNORlnpGa#0-9]{1,12}([uUbE].*)", re.DOTALL),
    "zip": _ZIP,
    "unzip": re.compile(r"-[qonjCaLvptuUbKXV:]{1,12}(P.*)", re.DOTALL),
}
"""By program: options without a value, and one that has one, in one word."""
