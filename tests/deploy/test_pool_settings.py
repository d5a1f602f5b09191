"""Settings that no worker would start with are refused before anything is applied."""

from typing import Any

import pytest
from retinue_deploy.pool_settings import pool_problems


def problems(**pool: Any) -> list[str]:
    return list(pool_problems({"labels": pool}, "eu-west-1"))


def test_good_settings_and_detectors_that_only_the_image_has_pass() -> None:
    detectors = {"rekognition-labels": {"min_confidence": 0.5}, "of-a-plugin": {"x": 1}}
    assert problems(detectors=detectors, routes={"of-a-plugin": {"key": ["a/*"]}}) == []


def test_each_bad_option_is_named_with_its_pool() -> None:
    pools = {
        "labels": {"detectors": {"rekognition-labels": {"min_confidence": 50}}},
        "faces": {
            "detectors": {"rekognition-faces": {"atributes": "ALL"}, "rekognition-labls": {}}
        },
    }
    labels, faces, unknown = pool_problems(pools, "eu-west-1")
    assert labels.startswith("pool labels: detector rekognition-labels: option min_confidence:")
    assert "atributes" in faces
    assert "rekognition-labls" in unknown


@pytest.mark.parametrize(
    ("pool", "problem"),
    [
        (
            {"routes": {"a": {"found": [{"detector": "b", "if_unknown": "maybe"}]}}},
            "RETINUE_ROUTES[a][found][0][if_unknown]: Input should be 'skip' or 'run'",
        ),
        (
            {"routes": {"a": {"min_width_px": 9, "max_width_px": 3}}},
            "RETINUE_ROUTES[a]: min_width_px (9) is above max_width_px (3)",
        ),
        (
            {"prices": {"a": [{"up_to_units": 9, "usd": 1}, {"up_to_units": 3, "usd": 1}]}},
            "RETINUE_PRICES: a: the last tier must have no up_to_units",
        ),
        (
            {"hosted_models": {"a": {"windows": [{"cron": "daily", "minutes": 5}]}}},
            "RETINUE_HOSTED_MODELS[a][windows][0][cron]: not a cron expression",
        ),
        ({"max_jobs": "many"}, "RETINUE_MAX_JOBS: Input should be a valid integer"),
        ({"wait_time_seconds": "99"}, "RETINUE_WAIT_TIME_SECONDS: Input should be less than"),
        ({"max_in_flight": 10.5}, "RETINUE_MAX_IN_FLIGHT: Input should be a valid integer"),
    ],
)
def test_each_bad_setting_is_named_with_its_pool(pool: dict[str, Any], problem: str) -> None:
    [found] = problems(detectors={"a": {}, "b": {}}, **pool)
    assert found.startswith(f"pool labels: {problem}")


def test_a_budget_without_a_price_is_named_with_its_pool() -> None:
    given: dict[str, Any] = {
        "detectors": {"onnx-objects": {}, "rekognition-labels": {}, "of-a-plugin": {}},
        "monthly_budgets_usd": dict.fromkeys(
            ["onnx-objects", "rekognition-labels", "of-a-plugin"], 10
        ),
    }
    [found] = problems(**given)
    assert found.startswith("pool labels: monthly_budgets_usd: detector onnx-objects has no price")
    assert problems(**given, prices={"onnx-objects": 0.001}) == []
