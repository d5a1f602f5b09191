"""Sessions share descriptions of services, and nothing else."""

import pytest
from retinue_aws import new_session


def test_the_description_of_a_service_is_read_once() -> None:
    descriptions = [
        new_session("eu-west-1").get_component("data_loader").load_service_model("sqs", "service-2")
        for _ in range(2)
    ]
    assert descriptions[0] is descriptions[1]


def test_credentials_are_each_sessions_own(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = []
    for key in ("first", "second"):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
        credentials = new_session().get_credentials()
        assert credentials is not None
        keys.append(credentials.access_key)
    assert keys == ["first", "second"]


def test_the_folder_of_aws_data_path_is_searched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_DATA_PATH", "/descriptions/of/mine")
    loader = new_session().get_component("data_loader")
    assert "/descriptions/of/mine" in loader.search_paths


def test_clients_call_the_given_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    regions = [
        new_session(region).create_client("sqs").meta.region_name for region in ("us-east-2", None)
    ]
    assert regions == ["us-east-2", "eu-west-3"]
