"""Every mistake in the environment is refused, by the variable's own name, with the remedy."""

import json
import re
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue, ValidationError
from retinue_sdk import ConfigurationError
from retinue_workers.settings.detectors import parse_detectors
from retinue_workers.settings.settings import Settings, TierPrice, check_names


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of whoever runs the tests."""
    import os

    for name in list(os.environ):
        if name.upper().startswith("RETINUE_"):
            monkeypatch.delenv(name)


def complaint(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(f"RETINUE_{name}", value)
    with pytest.raises(ConfigurationError) as caught:
        Settings.load()
    return str(caught.value)


def test_the_defaults_are_consistent() -> None:
    loaded = Settings.load()
    assert loaded.heartbeat_seconds * 2 <= loaded.visibility_timeout_seconds
    assert loaded.max_in_flight is None


def test_a_stop_must_fit_into_the_time_before_the_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETINUE_SHUTDOWN_GRACE_SECONDS", "110")
    monkeypatch.setenv("RETINUE_STOP_TIMEOUT_SECONDS", "120")
    assert Settings.load().shutdown_grace_seconds == 110
    monkeypatch.setenv("RETINUE_SHUTDOWN_GRACE_SECONDS", "111")
    with pytest.raises(ConfigurationError, match=r"GRACE_SECONDS \(111\).*10 less.*\(120\)"):
        Settings.load()


def test_everything_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETINUE_QUEUE_URL", "https://sqs/q")
    monkeypatch.setenv("RETINUE_DATABASE_URL", "postgresql://u:secret@h/d")
    monkeypatch.setenv("RETINUE_DETECTORS", '{"echo": {"latency_ms": 5}, "pixels": {}}')
    monkeypatch.setenv("RETINUE_PRICES", '{"echo": 0.001, "pixels": "0.0005"}')
    monkeypatch.setenv("RETINUE_MAX_IN_FLIGHT", "100")
    monkeypatch.setenv("RETINUE_LOG_FORMAT", "console")
    loaded = Settings.load()
    assert loaded.require_queue_url() == "https://sqs/q"
    assert loaded.require_database_url() == "postgresql://u:secret@h/d"
    assert loaded.detectors == {"echo": {"latency_ms": 5}, "pixels": {}}
    assert loaded.prices == {
        "echo": (TierPrice(usd=Decimal("0.001")),),
        "pixels": (TierPrice(usd=Decimal("0.0005")),),
    }
    assert "secret" not in repr(loaded)
    with pytest.raises(ValidationError):
        loaded.max_in_flight = 5  # type: ignore[misc]


def test_what_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETINUE_MAX_IN_FLIGHT", "100")
    loaded = Settings.load(max_in_flight=20, detectors={"echo": {}})
    assert (loaded.max_in_flight, loaded.detectors) == (20, {"echo": {}})


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("MAX_IN_FLIGHT", "9", "greater than or equal to 10"),
        ("MAX_IN_FLIGHT", "10001", "less than or equal to 10000"),
        ("MAX_IN_FLIGHT", "many", "valid integer"),
        ("MAX_IN_FLIGHT", "", "valid integer"),
        ("WAIT_TIME_SECONDS", "21", "less than or equal to 20"),
        ("WAIT_TIME_SECONDS", "-1", "greater than or equal to 0"),
        ("VISIBILITY_TIMEOUT_SECONDS", "43201", "less than or equal to 43200"),
        ("VISIBILITY_TIMEOUT_SECONDS", "1", "greater than or equal to 2"),
        ("HEARTBEAT_SECONDS", "0", "greater than or equal to 0.1"),
        ("HEARTBEAT_SECONDS", "inf", "less than or equal to"),
        ("HEARTBEAT_SECONDS", "nan", ""),
        ("DETECTOR_TIMEOUT_SECONDS", "0", "greater than or equal to 0.01"),
        ("DETECTOR_TIMEOUT_SECONDS", "inf", "less than or equal to 43200"),
        ("DETECTOR_TIMEOUT_SECONDS", "nan", ""),
        ("DETECTOR_TIMEOUT_SECONDS", "1e12", "less than or equal to 43200"),
        ("RETRY_WINDOW_SECONDS", "-1", "greater than or equal to 0"),
        ("RETRY_WINDOW_SECONDS", "inf", "less than or equal to 43200"),
        ("SHUTDOWN_GRACE_SECONDS", "inf", "less than or equal to 3600"),
        ("PREFETCH_THREADS", "0", "greater than or equal to 1"),
        ("PREFETCH_THREADS", "65", "less than or equal to 64"),
        ("PREFETCH_IMAGES", "0", "greater than or equal to 1"),
        ("MAX_IMAGE_BYTES", "0", "greater than or equal to 1"),
        ("MAX_IMAGE_PX", "999999999", "less than or equal to 178956970"),
        ("MAX_DETECTIONS", "0", "greater than or equal to 1"),
        ("MAX_RESPONSE_BYTES", "1", "greater than or equal to 2"),
        ("LOG_FORMAT", "yaml", "'console' or 'json'"),
        ("LOG_LEVEL", "INFO", "'debug', 'info', 'warning' or 'error'"),
        ("QUEUE_URL", "", "at least 1 character"),
        ("DETECTORS", "{", "must be JSON"),
        ("DETECTORS", "", "names no detector"),
        ("DETECTORS", " , ", "names no detector"),
        ("DETECTORS", "[" * 100_000, "must be like onnx-objects:threshold=0.5,onnx-faces, or JSON"),
        ("DETECTORS", '{"a": ' * 100_000, "must be JSON"),
        ("DETECTORS", "a b", "and not 'a b'"),
        ("DETECTORS", "a,b:", "and not 'b:'"),
        ("DETECTORS", "a:threshold", "and not 'a:threshold'"),
        ("DETECTORS", "threshold=1", "and not 'threshold=1'"),
        ("DETECTORS", "a,b,a", "names a twice"),
        ("DETECTORS", "a:x=1,x=2", "gives the option x twice"),
        ("PRICES", "0.001", "valid dict"),
        ("PRICES", "{'echo': 1}", "must be JSON"),
    ],
)
def test_a_bad_value_names_its_variable_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str
) -> None:
    text = complaint(monkeypatch, **{name: value})
    assert text.startswith(f"RETINUE_{name}: ")
    assert allowed in text
    assert len(text) < 500


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("a", {"a": {}}),
        ("a,b-2", {"a": {}, "b-2": {}}),
        (" a , b ,", {"a": {}, "b": {}}),
        ("a:threshold=0.5,b", {"a": {"threshold": 0.5}, "b": {}}),
        ("a:x=1, y = yes,b:z=true", {"a": {"x": 1, "y": "yes"}, "b": {"z": True}}),
        ("a,x=1", {"a": {"x": 1}}),
        ('a:labels=["x, y", "z"],b', {"a": {"labels": ["x, y", "z"]}, "b": {}}),
        ('a:one={"k": [1]},two="2"', {"a": {"one": {"k": [1]}, "two": "2"}}),
        ("a:arn=arn:aws:x:1:p/q=r,b", {"a": {"arn": "arn:aws:x:1:p/q=r"}, "b": {}}),
        ("a:model=/my models/2 b.onnx", {"a": {"model": "/my models/2 b.onnx"}}),
        ("a:x=", {"a": {"x": ""}}),
        ('{"a": {"threshold": 0.5}}', {"a": {"threshold": 0.5}}),
    ],
)
def test_detectors_are_named_with_options(
    monkeypatch: pytest.MonkeyPatch, text: str, meant: dict[str, object]
) -> None:
    monkeypatch.setenv("RETINUE_DETECTORS", text)
    assert Settings.load().detectors == meant


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", fullmatch=True),
        st.dictionaries(st.from_regex(r"[a-z_]+", fullmatch=True), JSON_VALUES, max_size=3),
        min_size=1,
        max_size=3,
    )
)
def test_whatever_json_can_say_of_detectors_the_short_form_can(
    detectors: dict[str, dict[str, JsonValue]],
) -> None:
    short = ",".join(
        name
        + ":" * bool(options)
        + ",".join(f"{key}={json.dumps(options[key])}" for key in options)
        for name, options in detectors.items()
    )
    assert parse_detectors(short) == detectors == parse_detectors(json.dumps(detectors))


@given(st.text() | st.text('a:,=["{ '))
def test_any_text_names_detectors_or_is_refused(text: str) -> None:
    try:
        found = parse_detectors(text)
    except ValueError:
        return
    assert found or text.lstrip().startswith("{")


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("DETECTORS", '{"echo": 5}', "RETINUE_DETECTORS[echo]: "),
        ("PRICES", '{"echo": -0.5}', "RETINUE_PRICES[echo][0][usd]: Input should be greater than"),
        ("PRICES", '{"echo": "NaN"}', "RETINUE_PRICES[echo][0][usd]: "),
        ("PRICES", '{"echo": Infinity}', "RETINUE_PRICES[echo][0][usd]: "),
        ("PRICES", '{"echo": 1e12}', "RETINUE_PRICES[echo][0][usd]: "),
        ("PRICES", '{"echo": "free"}', "RETINUE_PRICES[echo][0][usd]: "),
    ],
)
def test_a_bad_value_inside_json_is_located(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, place: str
) -> None:
    assert place in complaint(monkeypatch, **{name: value})


def test_all_mistakes_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = complaint(monkeypatch, MAX_IN_FLIGHT="1", PREFETCH_THREADS="0", DETECTORS="{")
    assert sorted(line.partition(":")[0] for line in text.splitlines()) == [
        "RETINUE_DETECTORS",
        "RETINUE_MAX_IN_FLIGHT",
        "RETINUE_PREFETCH_THREADS",
    ]


def test_values_that_contradict_each_other_are_both_named(monkeypatch: pytest.MonkeyPatch) -> None:
    text = complaint(monkeypatch, HEARTBEAT_SECONDS="16", VISIBILITY_TIMEOUT_SECONDS="30")
    assert text.startswith("RETINUE_HEARTBEAT_SECONDS (16) must be at most half of ")
    assert "RETINUE_VISIBILITY_TIMEOUT_SECONDS (30)" in text


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("RETINUE_DETECTOR", "RETINUE_DETECTORS"),
        ("RETINUE_max_in_flight", "RETINUE_MAX_IN_FLIGHT"),
        ("retinue_queue_url", "RETINUE_QUEUE_URL"),
        ("RETINUE_VISIBILITY_TIMEOUT", "RETINUE_VISIBILITY_TIMEOUT_SECONDS"),
        ("RETINUE_MAX_INFLIGHTS", "RETINUE_MAX_IN_FLIGHT"),
        ("RETINEU_QUEUE_URL", "RETINUE_QUEUE_URL"),
    ],
)
def test_a_near_miss_is_refused_with_the_setting_that_was_meant(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(ConfigurationError, match=f"^{name} isn't a setting: use {meant}, or unset"):
        Settings.load()


def test_every_near_miss_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"RETINUE_PRICE .*\nRETINUE_QUEUE_URI "):
        check_names({"RETINUE_QUEUE_URI": "x", "RETINUE_PRICE": "x"})


KNOWN = sorted(f"RETINUE_{name.upper()}" for name in Settings.model_fields)


@st.composite
def typos(draw: st.DrawFn) -> str:
    """Return a setting's name with one character added, left out or replaced, or two swapped."""
    name = draw(st.sampled_from(KNOWN))
    place = draw(st.integers(0, len(name) - 1))
    letter = draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789abcxyz"))
    before, here, after = name[:place], name[place], name[place + 1 :]
    return draw(
        st.sampled_from(
            [
                before + letter + here + after,
                name + letter,
                before + after,
                before + letter + after,
                before + after[:1] + here + after[1:],
            ]
        )
    )


@given(typos().filter(lambda name: name not in KNOWN))
def test_every_typo_of_one_letter_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(name)):
        check_names({name: "x"})


@pytest.mark.parametrize(
    "service",
    ["retinue", "retinue-console", "retinue-database", "retinue-worker", "retinue-query-database"],
)
def test_what_kubernetes_sets_for_a_service_passes(service: str) -> None:
    name = service.upper().replace("-", "_")
    variables = [f"{name}_SERVICE_HOST", f"{name}_SERVICE_PORT", f"{name}_SERVICE_PORT_HTTP"]
    variables += [f"{name}_PORT", f"{name}_PORT_8080_TCP", f"{name}_PORT_8080_TCP_ADDR"]
    variables += [f"{name}_PORT_8080_TCP_PORT", f"{name}_PORT_53_UDP_PROTO"]
    check_names(dict.fromkeys(variables, "x"))


@pytest.mark.parametrize("setting", KNOWN)
@pytest.mark.parametrize(
    "value", ["tcp://10.96.0.7:8080", "udp://[fd00::7]:53", "sctp://10.96.0.7:36412"]
)
def test_an_address_of_a_service_is_no_setting(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str
) -> None:
    """Kubernetes sets RETINUE_HEALTH_PORT for a service called retinue-health."""
    monkeypatch.setenv(setting, value)
    monkeypatch.setenv(setting + "X", value)
    assert Settings.load() == Settings()


@pytest.mark.parametrize(
    "name", ["PATH", "RETINUE", "RETINUE_", "retinue_x", "RETINUE_TEST_AWS", *KNOWN]
)
def test_other_variables_pass(name: str) -> None:
    check_names({name: "x"})


@pytest.mark.parametrize(
    ("missing", "variable"),
    [("require_queue_url", "RETINUE_QUEUE_URL"), ("require_database_url", "RETINUE_DATABASE_URL")],
)
def test_what_is_missing_is_named(missing: str, variable: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{variable} is not set"):
        getattr(Settings.load(), missing)()


def test_no_secret_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETINUE_DATABASE_URL", "postgresql://u:hunter2@h/d")
    assert "hunter2" not in complaint(monkeypatch, MAX_IN_FLIGHT="x")


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)


@given(name=st.sampled_from(sorted(Settings.model_fields)), value=words)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_is_set_is_taken_or_refused_by_name(name: str, value: str) -> None:
    variable = f"RETINUE_{name.upper()}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(variable, value)
        try:
            Settings.load()
        except ConfigurationError as error:
            assert re.search(rf"\b{variable}\b", str(error))  # noqa: PT017


def test_prices_have_tiers(monkeypatch: pytest.MonkeyPatch) -> None:
    tiers = '[{"up_to_units": 1000, "usd": 0.001}, {"usd": "0.0005"}]'
    monkeypatch.setenv("RETINUE_PRICES", f'{{"echo": {tiers}}}')
    [first, last] = Settings.load().prices["echo"]
    assert (first.up_to_units, first.usd) == (1_000, Decimal("0.001"))
    assert (last.up_to_units, last.usd) == (None, Decimal("0.0005"))


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"PRICES": '{"echo": [{"up_to_units": 5, "usd": 1}]}'}, "echo: the last tier must"),
        ({"PRICES": '{"echo": []}'}, "echo: the last tier must"),
        ({"PRICES": '{"echo": [{"usd": 1, "up_to": 5}]}'}, "up_to"),
        ({"MONTHLY_BUDGETS_USD": '{"echo": -1}'}, "MONTHLY_BUDGETS_USD[echo]: "),
        (
            {"DETECTORS": '{"echo": {}}', "MONTHLY_BUDGETS_USD": '{"ehco": 5}'},
            "MONTHLY_BUDGETS_USD names ehco, which RETINUE_DETECTORS doesn't",
        ),
    ],
)
def test_prices_and_budgets_that_cannot_be_meant(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    assert said in complaint(monkeypatch, **variables)
