"""What must not leave does not, and what must stay does."""

import string
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from oildrop.rules.redaction import Redactor

JANE = Redactor(user="janedoe", host="node7.lab.example.org", home="/home/janedoe", extra=("s4lt-of-the-store",))
ROOT = Redactor(user="root", host="vm", home="/root")
SPACED = Redactor(user="Jane Doe", host="Janes-Mac.local", home="/Users/Jane Doe")

CODE = string.ascii_letters + string.digits


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("root_mean_square", "root_mean_square"),
        ("the root of it", "the <user> of it"),
        ("root-mean-square of chroot", "root-mean-square of chroot"),
        ("kvm on vm", "kvm on <host>"),
        ("/root/x/model.py:12: error", "<path>/model.py:12: error"),
        ("tests/root_a/b.py", "tests/root_a/b.py"),
        ("/root", "<path>"),
        ("/rootfs/etc", "<path>/etc"),
    ],
)
def test_a_short_user_name_does_not_maul_words(text: str, expected: str) -> None:
    assert ROOT.redact_text(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("JaneDoe_v2 ran on NODE7.lab.example.org", "<user>_v2 ran on <host>"),
        ("at node7.lab.example.org", "at <host>"),
        ("at node7:8080", "at <host>:8080"),
        ("x=/home/janedoe/a/b.txt", "x=<path>/b.txt"),
        ("/home/janedoe", "<path>"),
        ("/data/janedoe", "<path>/<user>"),
        ("-I/usr/include/python3.11 -L/opt/x/lib", "-I<path>/python3.11 -L<path>/lib"),
        ('File "/opt/venv/lib/a.py", line 3', 'File "<path>/a.py", line 3'),
        ("PATH=/usr/bin:/sbin", "PATH=<path>/bin:<path>/sbin"),
        (">/dev/null", "><path>/null"),
        ("~/notes/x.md", "<path>/x.md"),
        ("file:///etc/passwd", "file:<path>/passwd"),
        (r"C:\Users\jane\x.txt", "<path>/x.txt"),
        ("mail jane@example.org now", "mail <email> now"),
        ("git@github.com:a/b", "<email>:a/b"),
        ("10.1.2.3, fe80::1%eth0 and ::1.", "<ip>, <ip> and <ip>."),
        ("2001:db8:0:0:0:0:0:1", "<ip>"),
        ("[::ffff:10.0.0.1]:80", "[<ip>]:80"),
        ("aa:bb:cc:00:11:22 or AA-BB-CC-00-11-22", "<mac> or <mac>"),
        ("GPU-8f3e1a52-0c1d-4b7e-9a57-5a2f6c1d0e99", "<device>"),
        ("password=hunter2 user", "password=<secret> user"),
        ('{"api_key": "a b c", "n": 1}', '{"api_key": <secret>, "n": 1}'),
        ("AWS_SECRET_ACCESS_KEY=abc/def+1", "AWS_SECRET_ACCESS_KEY=<secret>"),
        ("key=abcdef1", "key=<secret>"),
        ("HF_TOKEN: abcdef123", "HF_TOKEN: <secret>"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer <secret>"),
        ("curl -H 'bearer 0123456789abcdef'", "curl -H 'bearer <secret>'"),
        ("https://jane:pw@example.org/x", "https://<secret>@example.org/x"),
        ("salt s4lt-of-the-store!", "salt <private>!"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY----- x", "<secret> x"),
    ],
)
def test_what_is_taken_out(text: str, expected: str) -> None:
    assert JANE.redact_text(text) == expected
    assert JANE.redact_text(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "1.45 nats a token: 0.123456, 12,000 tokens/s and 3 J/token",
        "key=5, token_count=4096, energy_per_token_j, key: seed_index",
        "2026-11-22T12:34:56.123456Z at 12:34:56",
        "driver 580.65.06, nvidia-cudnn-cu12==9.10.2.21",
        "std::vector at::add 0000:01:00.0",
        "see https://pytorch.org/docs/stable/index.html",
        "./oildrop-store/runs and ../shared",
        "sha256 " + "0123456789abcdef" * 4,
        "run 20261122-123456-lm-pretrain-nano-a1b2",
        "lm-pretrain torch-cpu nano closed ok",
        "AMD EPYC 9999 64-Core Processor; Linux 6.1.0-18-amd64 #1 SMP",
        "task-something risk-adjusted",
        "a/b and (x+y)/2 at 50%/s",
    ],
)
def test_what_stays(text: str) -> None:
    assert JANE.redact_text(text) == text


def test_a_home_with_spaces_and_a_user_with_spaces() -> None:
    assert SPACED.redact_text("/Users/Jane Doe/My File.txt by Jane Doe") == "<path>/My File.txt by <user>"
    assert SPACED.redact_text("janes-mac.local and Janes-Mac") == "<host> and <host>"


def test_a_common_account_name_leaves_the_systems_name_alone() -> None:
    redactor = Redactor(user="ubuntu", home="/home/ubuntu")
    assert redactor.redact_text("Ubuntu 24.04 for ubuntu") == "Ubuntu 24.04 for <user>"


def test_a_user_called_like_one_of_our_fields_does_not_break_the_record() -> None:
    redactor = Redactor(user="seed", host="outcome", vocabulary=frozenset({"seed", "outcome"}))
    record = {"seed": 5, "outcome": "ok", "path": "/home/seed/x"}
    assert redactor.redact(record) == {"seed": 5, "outcome": "ok", "path": "<path>/x"}


def test_nested_values_keys_and_leaves() -> None:
    value = {
        "steps": 3, "ok": True, "none": None, "loss": 1.5,
        "paths": ["/a/b", {"/c/d": ("by janedoe",)}],
        "hf_token": "x", "auth": {"inner": ["y", 2]}, "key": "seed", "token_count": "4",
        "password": "",
    }  # fmt: skip
    assert JANE.redact(value) == {
        "steps": 3, "ok": True, "none": None, "loss": 1.5,
        "paths": ["<path>/b", {"<path>/d": ["by <user>"]}],
        "hf_token": "<secret>", "auth": {"inner": ["<secret>", 2]}, "key": "seed", "token_count": "4",
        "password": "",
    }  # fmt: skip


def test_keys_that_become_alike_are_all_kept() -> None:
    redacted = JANE.redact({"/a/x": 1, "/b/x": 2, "/c/x": 3})
    assert redacted == {"<path>/x": 1, "<path>/x#2": 2, "<path>/x#3": 3}
    assert JANE.redact(redacted) == redacted


def test_a_redactor_that_knows_nobody_still_takes_shapes_out() -> None:
    assert Redactor().redact_text("root at /root/x 10.0.0.1") == "root at <path>/x <ip>"


SECRETS = st.one_of(
    st.text(CODE, min_size=20, max_size=40).map(lambda t: ("hf_" + t, t)),
    st.text(CODE, min_size=20, max_size=48).map(lambda t: ("sk-" + t, t)),
    st.text(CODE, min_size=36, max_size=36).map(lambda t: ("ghp_" + t, t)),
    st.text(string.ascii_uppercase + string.digits, min_size=16, max_size=16).map(lambda t: ("AKIA" + t, t)),
    st.text(CODE + "/+", min_size=12, max_size=40).map(lambda t: (f"api_key={t}", t)),
    st.text(CODE + "/+", min_size=12, max_size=40).map(lambda t: (f"PASSWORD: '{t}'", t)),
    st.text(CODE, min_size=10, max_size=20).map(lambda t: (f"https://bot:{t}@example.org/x", t)),
    st.text(CODE, min_size=10, max_size=20).map(lambda t: (f"/home/janedoe/{t}/notes.txt", f"/{t}/")),
    st.text(CODE, min_size=10, max_size=20).map(lambda t: (f"/srv/{t}/notes.txt", f"/{t}/")),
    st.text(string.ascii_lowercase, min_size=3, max_size=9).map(lambda t: (f"{t}@{t}.example.org", f"{t}@")),
    st.ip_addresses(v=4).map(lambda a: (str(a), str(a))),
    st.just(("janedoe", "janedoe")),
    st.just(("node7.lab.example.org", "node7.lab")),
    st.just(("s4lt-of-the-store", "s4lt-of-the-store")),
)

PLAIN = st.text(string.ascii_letters + string.digits + " _-.,:;=/()[]<>\"'@#%", max_size=30)


@given(PLAIN, SECRETS, PLAIN, st.sampled_from([" ", "\n", ' "', "(", ", ", "' "]))
def test_no_secret_survives(before: str, secret: tuple[str, str], after: str, edge: str) -> None:
    text, core = secret
    assume(core not in before + after)
    redacted = JANE.redact_text(f"{before}{edge}{text} {after}")
    assert core not in redacted


def json_like(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3), max_leaves=6
    )


@given(json_like(PLAIN), SECRETS)
def test_no_secret_survives_in_any_place_of_a_value(value: Any, secret: tuple[str, str]) -> None:
    text, core = secret
    assume(core not in str(value))
    redacted = JANE.redact({"deep": [value, {text: [text]}], "list": (text,)})
    assert core not in str(redacted)


@given(json_like(st.one_of(PLAIN, SECRETS.map(lambda pair: pair[0]), st.text(max_size=20))))
def test_redacting_twice_changes_nothing_more(value: Any) -> None:
    for redactor in (JANE, ROOT, SPACED):
        once = redactor.redact(value)
        assert redactor.redact(once) == once


@given(
    st.text("abcdestruhopr<>/-_", min_size=1, max_size=8).filter(lambda name: "<" not in name and ">" not in name),
    st.lists(
        st.sampled_from(
            ["<user>", "<path>", "<host>", "/", "a", "user", "path", "b", " ", "10.0.0.1", "@", "x.y", "=", "key"]
        ),
        max_size=12,
    ),
)
def test_redaction_ends_and_is_stable_for_awkward_names(name: str, parts: list[str]) -> None:
    redactor = Redactor(user=name, host=name[::-1])
    once = redactor.redact_text(name.join(parts))
    assert redactor.redact_text(once) == once


@given(st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none())
def test_what_is_no_text_is_kept(value: Any) -> None:
    assert JANE.redact({"k": [value]}) == {"k": [value]}
