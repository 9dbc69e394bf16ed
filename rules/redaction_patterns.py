"""The shapes of what must not leave: secrets, addresses, paths, names. Each becomes a step from text to text."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

Step = Callable[[str], str]

MARKS = ("user", "host", "path", "ip", "mac", "email", "device", "secret", "private")

SHORT_NAME = 6
"""A name of fewer characters is replaced only where it stands as a word of its own."""

COMMON_NAMES = frozenset(
    ("root", "admin", "administrator", "ubuntu", "debian", "fedora", "centos", "runner", "jovyan", "docker", "vagrant")
)
"""Names that machines come with: treated as short ones, since an Ubuntu is full of the word ubuntu."""

_MARK = f"<(?:{'|'.join(MARKS)})>"
_NOT_AFTER_MARK = "".join(f"(?<!<{mark}>)" for mark in MARKS)

_STRONG = r"(?:password|passwd|passphrase|pwd|secret|credentials?|api[_-]?key|(?:access|private|secret)[_-]?key)"
_WEAK = r"(?:(?<!public[_-])key|token|auth)"
_VALUE = r"(?:\"[^\"]*\"|'[^']*'|[^\s\"'`,;&]+)"
_NUMBER = r"[-+]?\d*\.?\d+(?:e[-+]?\d+)?(?![\w.])"
_EQUALS = r"\\?[\"']?\s*[=:]\s*\\?"

SECRET_FIELD = re.compile(rf"(?i)(?:.*[\W_])?{_STRONG}|.*[a-z0-9][_-]{_WEAK}|token|auth|authorization", re.DOTALL)
"""Names of fields whose text is a secret. A bare `key` is the name of an event, not a secret."""

_TOKENS = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    r"(?<![A-Za-z0-9])(?:hf|gh[oprsu]|github_pat|npm|dckr_pat|[rs]k_(?:live|test))_[A-Za-z0-9_-]{6,}",
    r"(?<![A-Za-z0-9])(?:sk|glpat|pypi|nvapi|xox[abeprs])-[A-Za-z0-9_-]{6,}",
    r"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}",
    r"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{20,}",
    r"(?<![A-Za-z0-9])ya29\.[A-Za-z0-9_-]{10,}",
    r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?",
)
"""Shapes in which services hand out keys and tokens: nothing else looks like them."""

_PATH_START = r"[^\s\"'`<>|(){}\[\],;:&*?\\/]"
_PATH_REST = r"[^\s\"'`<>|(){}\[\],;:&*?\\]*"


def pattern_step(
    pattern: str,
    replace: str | Callable[[re.Match[str]], str],
    *,
    needs: tuple[str, ...] = (),
    keep: str = "",
    flags: int = 0,
) -> Step:
    """Replace what matches `pattern`, passing over marks and over what `keep` matches.

    Args:
        replace: The mark as it is, without escapes or groups, or what makes it.
        needs: Texts of which one must be there for the pattern to match; most texts are passed by that alone.
    """
    kept = f"{_MARK}|{keep}" if keep else _MARK
    compiled = re.compile(f"(?P<kept>{kept})|(?:{pattern})", re.DOTALL | flags)

    def act(match: re.Match[str]) -> str:
        if match["kept"] is not None:
            return match["kept"]
        return replace if isinstance(replace, str) else replace(match)

    def step(text: str) -> str:
        if needs and not any(need in text for need in needs):
            return text
        return compiled.sub(act, text)

    return step


def text_step(text: str, mark: str) -> Step:
    """Replace a text wherever it stands."""
    return pattern_step(re.escape(text), mark, needs=(text,))


def name_step(name: str, mark: str) -> Step:
    """Replace a person's or machine's name: a short or common one as a whole word only, others anywhere."""
    if len(name) < SHORT_NAME or name.lower() in COMMON_NAMES:
        return pattern_step(rf"(?<![\w-]){re.escape(name)}(?![\w-])", mark, needs=(name,))
    return pattern_step(re.escape(name), mark, flags=re.IGNORECASE)


def home_step(home: str) -> Step:
    """Replace paths into the home folder, which may hold spaces."""
    home = home.rstrip("/\\")
    # A home right under the top, such as /root, is also part of relative paths that are nobody's.
    guard = r"(?<![\w.])" if home.count("/") < 2 else ""

    def mark(match: re.Match[str]) -> str:
        rest = match["rest"].rstrip("/")
        return _path_mark(rest) if rest else "<path>"

    return pattern_step(rf"{guard}{re.escape(home)}(?![\w-])(?P<rest>(?:/{_PATH_REST})?)", mark, needs=(home,))


def _path_mark(path: str) -> str:
    basename = re.split(r"[/\\]", path.rstrip("/\\"))[-1]
    return f"<path>/{basename}"


def _keep_name(match: re.Match[str]) -> str:
    return f"{match['name']}<secret>"


def _assignment_steps() -> list[Step]:
    """`password=…`, `api_key: …` whatever the value; `key=…`, `hf_token: …` where it is no number and not short."""
    long_value = rf"(?!{_NUMBER})(?:\"[^\"]{{6,}}\"|'[^']{{6,}}'|[^\s\"'`,;&]{{6,}})"
    strong = rf"(?P<name>(?<![A-Za-z0-9])(?:[\w.-]*[_.-])?{_STRONG}{_EQUALS}){_VALUE}"
    weak = rf"(?P<name>(?<![A-Za-z0-9])(?:[\w.-]*[A-Za-z0-9][_.-]{_WEAK}{_EQUALS}|{_WEAK}=\\?)){long_value}"
    header = rf"(?P<name>\bauthorization{_EQUALS}[\"']?(?:(?:bearer|basic|token)\s+)?){_VALUE}"
    bearer = r"(?P<name>\bbearer\s+)[A-Za-z0-9._~+/=-]{12,}"
    signs = {strong: ("=", ":"), weak: ("=", ":"), header: ("=", ":"), bearer: (" ",)}
    return [pattern_step(pattern, _keep_name, needs=needs, flags=re.IGNORECASE) for pattern, needs in signs.items()]


def _address_mark(match: re.Match[str]) -> str:
    """Only what is an address: version numbers and clock times have similar shapes."""
    try:
        ipaddress.ip_address(match[0].partition("%")[0])
    except ValueError:
        return match[0]
    return "<ip>"


def _address_steps() -> list[Step]:
    hexadecimal = "[0-9A-Fa-f]"
    device = rf"(?:GPU|MIG)-{hexadecimal}{{8}}(?:-{hexadecimal}{{4}}){{3}}-{hexadecimal}{{12}}"
    octet = f"{hexadecimal}{{2}}"
    mac = rf"(?<![\w:-]){octet}(?P<gap>[:-])(?:{octet}(?P=gap)){{4}}{octet}(?![\w:-])"
    v4 = r"(?<![\w.])(?<!==)(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)"
    group, mapped_v4 = f"{hexadecimal}{{0,4}}", r"(?:\d{1,3}\.){3}\d{1,3}"
    v6 = rf"(?<![\w:.])(?=\S*\d)(?:{group}:){{2,7}}(?:{mapped_v4}|{group})(?:%\w+)?(?![\w:])"
    return [
        pattern_step(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+", "<email>", needs=("@",)),
        pattern_step(rf"(?<![A-Za-z0-9]){device}", "<device>", needs=("GPU-", "MIG-")),
        pattern_step(mac, "<mac>", needs=(":", "-")),
        pattern_step(v6, _address_mark, needs=(":",)),
        pattern_step(v4, _address_mark, needs=(".",)),
    ]


def _path_steps() -> list[Step]:
    """Absolute paths; addresses of web pages are kept, `a/b` and `tokens/s` are no paths."""
    edge = rf"(?:(?<![\w.)\]}}%/~])|(?<=\s-[A-Za-z])|(?<=^-[A-Za-z])){_NOT_AFTER_MARK}"
    unix = rf"{edge}~?/+{_PATH_START}{_PATH_REST}"
    windows = r"(?<![\w/.])[A-Za-z]:\\+[^\s\"'<>|:*?\\][^\s\"'<>|:*?]*"
    page = r"(?<![A-Za-z])(?i:(?!file:)[a-z][a-z0-9+.-]*://[^\s\"'<>]*)"
    return [
        pattern_step(unix, lambda match: _path_mark(match[0]), needs=("/",), keep=page),
        pattern_step(windows, lambda match: _path_mark(match[0]), needs=(":\\",)),
    ]


SHAPES: tuple[Step, ...] = (
    pattern_step("|".join(_TOKENS), "<secret>"),
    pattern_step(r"(?<=://)[^\s/@]+@", "<secret>@", needs=("@",)),
    *_assignment_steps(),
    *_address_steps(),
    *_path_steps(),
)
"""All steps that need no knowledge of the person or machine, in order."""
