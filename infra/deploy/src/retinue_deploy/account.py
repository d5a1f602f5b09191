"""The AWS account and region of the operator."""

import os
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    UnknownRegionError,
)

from retinue_deploy.errors import DeployError

FARGATE_VCPU_QUOTA = ("fargate", "L-3032A538")
"""Service Quotas' code for "Fargate On-Demand vCPU resource count"
(https://docs.aws.amazon.com/general/latest/gr/ecs-service.html)."""

ATTEMPTS = 6
"""Maximum number of calls before AWS counts as too busy."""


class Account:
    """Sessions, clients, and the account's identity.

    Args:
        region: AWS region. The default is AWS_REGION, or boto3's configuration.
    """

    def __init__(self, region: str | None = None) -> None:
        try:
            # boto3 doesn't read AWS_REGION, unlike Terraform and the AWS CLI.
            chosen = region or os.environ.get("AWS_REGION") or None
            self._session = boto3.session.Session(region_name=chosen)
        except BotoCoreError as error:  # AWS_PROFILE names a missing profile
            raise DeployError(f"the AWS configuration is invalid: {error}") from error

    @property
    def region(self) -> str | None:
        """Return the region, if one is configured."""
        return self._session.region_name

    def client(self, service: str) -> Any:
        """Return a client that retries when AWS is busy."""
        return self._session.client(
            service,  # type: ignore[call-overload]  # any service, by its name
            config=Config(retries={"mode": "standard", "total_max_attempts": ATTEMPTS}),
        )

    def identity(self) -> str:
        """Return the account's id (STS GetCallerIdentity, which is always allowed).

        Raises:
            DeployError: No valid credentials are available, or AWS can't be reached.
        """
        try:
            return str(self.client("sts").get_caller_identity()["Account"])
        except EndpointConnectionError as error:
            raise DeployError(
                f"AWS does not answer in {self.region}: {error}. Check the region's name and "
                "the network."
            ) from error
        except (BotoCoreError, ClientError) as error:
            raise DeployError(
                f"no valid AWS credentials: {error}. Sign in (`aws sso login`, `aws configure`, or "
                "AWS_PROFILE=…), and run again."
            ) from error

    def regions_with(self, service: str) -> list[str]:
        """Return the regions of this AWS partition with a service, according to boto3."""
        try:
            partition = self._session.get_partition_for_region(str(self.region))
        except UnknownRegionError:
            partition = "aws"
        return self._session.get_available_regions(service, partition_name=partition)

    def fargate_vcpus(self) -> float | None:
        """Return Fargate's vCPU quota; ``None`` without permission."""
        service, code = FARGATE_VCPU_QUOTA
        try:
            quota = self.client("service-quotas").get_service_quota(
                ServiceCode=service, QuotaCode=code
            )
            return float(quota["Quota"]["Value"])
        except (BotoCoreError, ClientError, KeyError):
            return None
