"""What is known of AWS, held against botocore's own reading of the same files."""

from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.session import Session
from retinue_aws import new_session


@pytest.fixture(scope="module")
def ours() -> Any:
    return new_session()._get_internal_component("endpoint_resolver")


@pytest.fixture(scope="module")
def theirs() -> Any:
    return Session()._get_internal_component("endpoint_resolver")


@pytest.mark.parametrize("service", ["sqs", "s3", "rekognition", "rds", "iam", "sts", "no-such"])
@pytest.mark.parametrize("region", ["eu-west-1", "us-gov-west-1", "cn-north-1", "us-new-9"])
def test_services_are_where_botocore_says(
    ours: Any, theirs: Any, service: str, region: str
) -> None:
    for variant in ({}, {"use_fips_endpoint": True}):
        found = ours.construct_endpoint(service, region, **variant)
        assert found == theirs.construct_endpoint(service, region, **variant)


def test_every_region_of_every_service_is_known(ours: Any, theirs: Any) -> None:
    services = Session().get_available_services()
    for partition in theirs.get_available_partitions():
        for service in services:
            asked = {"partition_name": partition, "allow_non_regional": True}
            found = ours.get_available_endpoints(service, **asked)
            assert found == theirs.get_available_endpoints(service, **asked)


@pytest.mark.parametrize("service", ["sqs", "rekognition", "apigateway"])
def test_a_service_is_described_alike_but_for_its_help(service: str) -> None:
    ours = new_session().get_component("data_loader").load_service_model(service, "service-2")
    theirs = Loader().load_service_model(service, "service-2")
    assert ours == without_help(theirs)
    assert list(ours["operations"]) == list(theirs["operations"])


def test_no_description_is_no_description() -> None:
    assert new_session().get_component("data_loader").file_loader.load_file("/none/here") is None


def without_help(described: Any) -> Any:
    """With texts for people emptied; a member that is called so is no text and stays."""
    match described:
        case dict():
            return {
                name: ""
                if name == "documentation" and isinstance(value, str)
                else without_help(value)
                for name, value in described.items()
            }
        case list():
            return [without_help(one) for one in described]
    return described
