"""Create the prerequisites of all environments: the state bucket and the registry."""

import hashlib
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from retinue_deploy.errors import DeployError
from retinue_deploy.terraform import Terraform

STATE_KEY = "retinue/bootstrap.tfstate"
"""Key of bootstrap's own state, in the bucket that it creates, so that other clones can use it."""

_PLAN_FILE = "bootstrap.tfplan"
_SOURCES = ("*.tf", "*.tfvars", "*.json")


def state_bucket_name(account_id: str, region: str) -> str:
    """Return the bucket's name in infra/bootstrap."""
    return f"retinue-state-{account_id}-{region}"


class Bootstrap:
    """Creates both once for an account and region.

    Args:
        terraform: In infra/bootstrap.
        s3: A client.
        ecr: A client.
        bucket: The name of the bucket.
        account_id: Its owner.
        repository: The name of the registry's repository.
    """

    def __init__(
        self,
        terraform: Terraform,
        s3: Any,
        ecr: Any,
        *,
        bucket: str,
        account_id: str,
        repository: str,
    ) -> None:
        self._terraform = terraform
        self._s3 = s3
        self._ecr = ecr
        self.bucket = bucket
        self._account_id = account_id
        self._repository = repository

    def ready(self) -> bool:
        """Return whether bucket and registry exist."""
        return self._has_bucket() and self._has_repository()

    def ensure(self) -> None:
        """Create missing resources, and apply changes of the Terraform files since the last time.

        Raises:
            DeployError: Terraform fails, its plan would destroy data, another account owns the
                bucket's name, or another deployment did the same meanwhile.
        """
        version = self._version()
        kept = self._kept()
        if self.ready() and (kept is None or kept[1] == version):
            return
        self._terraform.init()
        self._terraform.select_workspace(self.bucket)
        state = self._state_file()
        if kept is not None or (not state.exists() and self._has_bucket()):
            self._fetch(state)
        plan = self._terraform.plan(_PLAN_FILE)
        if plan.lost:
            raise DeployError(
                f"the plan of {self._terraform.folder} would destroy {', '.join(plan.lost)}: apply "
                "it by hand (infra/README.md) if that is right"
            )
        reached = "incomplete"
        try:
            self._terraform.apply(_PLAN_FILE)
            reached = version
        finally:
            (self._terraform.folder / _PLAN_FILE).unlink(missing_ok=True)
            # An incomplete bootstrap has a state, too, and the next attempt needs it.
            if state.exists() and self._has_bucket():
                self._keep(state, kept[0] if kept else None, reached)

    def _version(self) -> str:
        """Return a digest of the Terraform files and of the environments' names."""
        infra = self._terraform.folder.parent
        names = sorted(file.name for file in infra.glob("environments/*.tfvars"))
        digest = hashlib.sha256("".join(names).encode())
        modules = [infra / "modules" / name for name in ("github", "key", "registry")]
        for folder in [self._terraform.folder, self._terraform.folder / "policies", *modules]:
            for file in sorted(one for kind in _SOURCES for one in folder.glob(kind)):
                digest.update(file.read_bytes())
        return digest.hexdigest()[:16]

    def _kept(self) -> tuple[str, str | None] | None:
        """Return ETag and version of the state in the bucket; ``None`` without one."""
        if not self._has_bucket():
            return None
        try:
            found = self._s3.head_object(Bucket=self.bucket, Key=STATE_KEY)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                return None
            raise
        return str(found["ETag"]), found["Metadata"].get("version")

    def _keep(self, state: Path, etag: str | None, version: str) -> None:
        """Write the state to the bucket, unless another deployment has done so meanwhile."""
        unchanged = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        try:
            self._s3.put_object(
                Bucket=self.bucket,
                Key=STATE_KEY,
                Body=state.read_bytes(),
                Metadata={"version": version},
                **unchanged,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("PreconditionFailed", "412"):
                raise
            raise DeployError(
                f"another deployment applied {self._terraform.folder} at the same time. Its state "
                "is in the bucket. Run the command again."
            ) from error

    def _state_file(self) -> Path:
        """Return the path of the state here, in a workspace for each account and region."""
        return self._terraform.folder / "terraform.tfstate.d" / self.bucket / "terraform.tfstate"

    def _fetch(self, state: Path) -> None:
        try:
            body = self._s3.get_object(Bucket=self.bucket, Key=STATE_KEY)["Body"].read()
        except ClientError as error:
            raise DeployError(
                f"the bucket {self.bucket} exists, but not the registry, and the state of "
                f"infra/bootstrap is neither here nor in the bucket ({STATE_KEY}). If you "
                "created the bucket by hand, import it: terraform "
                f"-chdir={self._terraform.folder} import aws_s3_bucket.state {self.bucket}"
            ) from error
        state.parent.mkdir(parents=True, exist_ok=True)
        state.write_bytes(body)

    def _has_bucket(self) -> bool:
        try:
            self._s3.head_bucket(Bucket=self.bucket, ExpectedBucketOwner=self._account_id)
        except ClientError as error:
            code = str(error.response["Error"]["Code"])
            if code in ("404", "NoSuchBucket"):
                return False
            raise DeployError(
                f"cannot access the bucket {self.bucket} ({code}): these credentials lack "
                "s3:ListBucket, or another account owns the name"
            ) from error
        return True

    def _has_repository(self) -> bool:
        try:
            self._ecr.describe_repositories(repositoryNames=[self._repository])
        except ClientError as error:
            if error.response["Error"]["Code"] == "RepositoryNotFoundException":
                return False
            raise
        return True
