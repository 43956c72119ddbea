from __future__ import annotations

from pathlib import Path

import pytest

from millstream.core import config
from millstream.core.config import Settings
from millstream.core.errors import ConfigError


def test_defaults_need_nothing() -> None:
    assert config.load({}) == Settings()


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "millstream.toml"
    file.write_text('port = 1234\nlease = 60\nqueues = ["a", "b"]\n')
    settings = config.load({"MILLSTREAM_CONFIG": str(file), "MILLSTREAM_PORT": "4321"})
    assert (settings.port, settings.lease, settings.queues) == (4321, 60.0, ("a", "b"))
    assert settings.explicit == {"port", "lease", "queues"}


@pytest.mark.parametrize(
    ("variable", "given", "value"),
    [
        ("QUEUES", "mails, default,mails", ("mails", "default")),
        ("QUEUES", "*", ("*",)),
        ("QUEUES", "mails:3, default:1,z:1000", ("mails:3", "default", "z:1000")),
        ("MAX_BODY", "2MiB", 2 * 2**20),
        ("MAX_BODY", "5000", 5000),
        ("TRUST_NETWORK", "yes", True),
        (
            "CORS_ORIGINS",
            "https://a.example,https://b.example",
            ("https://a.example", "https://b.example"),
        ),
        ("DATA_DIR", "", None),
        ("LOG_LEVEL", "DEBUG", "debug"),
        ("UNKNOWN_TYPES", "accept", "accept"),
        ("CHECK_PAYLOADS", "false", False),
    ],
)
def test_values_are_read(variable: str, given: str, value: object) -> None:
    settings = config.load({f"MILLSTREAM_{variable}": given})
    assert getattr(settings, variable.lower()) == value


@pytest.mark.parametrize(
    ("variable", "given", "expected"),
    [
        (
            "RETENTION",
            "emails:0",
            "such as *:90 or emails:7, in days of 1 or more, got: 'emails:0'",
        ),
        ("RETENTION", "*:1,emails:7,*:2", "each queue once, got: '*:1,emails:7,*:2'"),
        ("PORT", "x", "a whole number from 0 to 65535"),
        ("PORT", "65536", "a whole number from 0 to 65535"),
        ("CONCURRENCY", "0", "a whole number from 1 to"),
        ("LEASE", "nan", "a number of seconds, 1 or more"),
        ("LEASE", "0.5", "a number of seconds, 1 or more"),
        ("NAMESPACE", "Ms", "a name of a-z"),
        ("QUEUES", "", "at least 1 value"),
        ("QUEUES", "a,B", "queues separated by commas"),
        ("QUEUES", "*,a", "either * alone or names"),
        ("QUEUES", "a:0", "after the colon of a queue its weight, a whole number from 1 to 1000"),
        ("QUEUES", "a:", "after the colon of a queue its weight"),
        ("QUEUES", "a:1001", "after the colon of a queue its weight"),
        ("QUEUES", "a:2:3", "after the colon of a queue its weight"),
        ("QUEUES", "*:2", "queues separated by commas"),
        ("QUEUES", "a:2,b,a:3", "each queue once"),
        ("MAX_MEMORY", "much", "a size in bytes, or like 8MiB, of 1 bytes or more"),
        ("STALL_TIMEOUT", "-1", "a number of seconds, 0 or more"),
        ("MAX_BODY", "8 furlongs", "a size in bytes, or like 8MiB"),
        ("TRUST_NETWORK", "perhaps", "true or false"),
        ("UNKNOWN_TYPES", "ignore", "one of refuse, accept"),
        ("REDIS_URL", "http://x", "a URL starting with redis://"),
        ("POSTGRES_DSN", "postgresql://h:port/x", "a URL starting with postgresql://"),
        ("HOST", " ", "a host name or address"),
    ],
)
def test_a_bad_value_is_named_with_its_bound(variable: str, given: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load({f"MILLSTREAM_{variable}": given})
    assert str(caught.value).startswith(f"MILLSTREAM_{variable}: expected {expected}")
    assert repr(given) in str(caught.value) or repr(caught.value.given) in str(caught.value)


def test_an_unknown_variable_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean MILLSTREAM_CONCURRENCY"):
        config.load({"MILLSTREAM_CONCURENCY": "3"})


def test_an_unknown_key_of_the_file_suggests_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "millstream.toml"
    file.write_text("leese = 3\n")
    with pytest.raises(ConfigError, match="did you mean lease"):
        config.load({}, file)


def test_a_worker_that_waits_for_redis_has_not_stalled() -> None:
    with pytest.raises(ConfigError, match=r"STALL_TIMEOUT.*COMMAND_TIMEOUT.*that is 30, got: 29"):
        config.load({"MILLSTREAM_STALL_TIMEOUT": "29"})
    assert config.load({"MILLSTREAM_STALL_TIMEOUT": "0"}).stall_timeout == 0
    given = {"MILLSTREAM_STALL_TIMEOUT": "5", "MILLSTREAM_COMMAND_TIMEOUT": "0.5"}
    assert config.load(given).stall_timeout == 5
    patient = {"MILLSTREAM_COMMAND_TIMEOUT": "60", "MILLSTREAM_LEASE": "150"}
    assert config.load(patient).stall_timeout == 360, "nobody said 300"


@pytest.mark.parametrize("content", [None, "port =", b"\xff\xfe"])
def test_an_unreadable_file_is_named(tmp_path: Path, content: str | bytes | None) -> None:
    file = tmp_path / "millstream.toml"
    if content is not None:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigError, match=r"MILLSTREAM_CONFIG: expected .*millstream\.toml"):
        config.load({"MILLSTREAM_CONFIG": str(file)})


def test_a_lease_outlives_a_renewal_that_times_out() -> None:
    with pytest.raises(ConfigError, match=r"LEASE.*COMMAND_TIMEOUT.*more than 10"):
        config.load({"MILLSTREAM_LEASE": "10"})
    assert config.load({"MILLSTREAM_LEASE": "3", "MILLSTREAM_COMMAND_TIMEOUT": "1"}).lease == 3


@pytest.mark.parametrize(
    "url",
    ["redis://user:hunter2@host:1/0", "redis://:hunter2@host/0", "redis://host/0?password=hunter2"],
)
def test_passwords_are_never_shown(url: str) -> None:
    assert "hunter2" not in repr(config.load({"MILLSTREAM_REDIS_URL": url}))
    with pytest.raises(ConfigError) as caught:
        config.load({"MILLSTREAM_POSTGRES_DSN": url})
    assert "hunter2" not in str(caught.value)


def test_settings_travel_through_the_environment_unchanged() -> None:
    settings = config.load({
        "MILLSTREAM_QUEUES": "a,b:7", "MILLSTREAM_TRUST_NETWORK": "1", "MILLSTREAM_DATA_DIR": "",
        "MILLSTREAM_GRACE": "2.5", "MILLSTREAM_CORS_ORIGINS": "",
    })  # fmt: skip
    assert config.load(config.as_environ(settings)) == settings


@pytest.mark.parametrize("text", ['queues = ["a:3", "b"]', "[queues]\na = 3\nb = 1"])
def test_queues_have_weights(tmp_path: Path, text: str) -> None:
    file = tmp_path / "millstream.toml"
    file.write_text(text)
    settings = config.load({}, file)
    assert settings.queues == ("a:3", "b")
    assert settings.weights == {"a": 3, "b": 1}


@pytest.mark.parametrize("text", ["[queues]\na = true", "[queues]\n", "queues = [3]", "queues = 3"])
def test_weights_of_a_file_are_checked(tmp_path: Path, text: str) -> None:
    file = tmp_path / "millstream.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"queues \(in .*: expected"):
        config.load({}, file)


def test_options_are_checked_like_variables() -> None:
    assert config.override(Settings(), {"port": 0}).port == 0
    with pytest.raises(ConfigError, match="--port: expected a whole number"):
        config.override(Settings(), {"port": -1})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"])
def test_loopback_is_allowed(host: str) -> None:
    config.require_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", ""])
def test_other_hosts_are_refused_unless_the_network_is_trusted(host: str) -> None:
    with pytest.raises(ConfigError, match="MILLSTREAM_TRUST_NETWORK"):
        config.require_loopback(host)
    config.require_loopback(host, trust_network=True)
