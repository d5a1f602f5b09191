"""All missing requirements are reported together, before any change."""

from pathlib import Path

import pytest
from retinue_deploy.account import Account
from retinue_deploy.checks import Prerequisites, check
from retinue_deploy.errors import DeployError

NAMED = 'environment = "dev"\n'


class SignedIn(Account):
    """An account that nobody has to sign in to."""

    def __init__(self, region: str | None, account_id: str | None = "111122223333") -> None:
        self._region = region
        self._account_id = account_id

    @property
    def region(self) -> str | None:
        return self._region

    def identity(self) -> str:
        if self._account_id is None:
            raise DeployError("no valid AWS credentials")
        return self._account_id

    def regions_with(self, service: str) -> list[str]:
        assert service == "rekognition"
        return ["eu-west-1", "us-east-1"]

    def fargate_vcpus(self) -> float | None:
        return 6.0


def look(file: Path, **given: object) -> Prerequisites:
    asked: dict[str, object] = {
        "region": "eu-west-1",
        "builds": True,
        "open_account": SignedIn,
        "terraform_version": lambda: (1, 12),
        "builder": lambda: "podman",
        **given,
    }
    return check(file, **asked)  # type: ignore[arg-type]


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    """Return the tfvars file of an environment called dev."""
    file = tmp_path / "dev.tfvars"
    file.write_text(NAMED, encoding="utf-8")
    return file


def test_all_is_well(dev: Path) -> None:
    findings = look(dev)
    assert findings == Prerequisites([], [], "podman", "eu-west-1", "111122223333", 6.0)
    findings.raise_if_any()


def test_everything_that_is_missing_is_said_at_once(dev: Path) -> None:
    findings = look(
        dev,
        region=None,
        terraform_version=lambda: None,
        builder=lambda: None,
        open_account=lambda region: SignedIn(region, None),
    )
    with pytest.raises(DeployError, match="nothing was changed") as failure:
        findings.raise_if_any()
    said = str(failure.value)
    for part in ("Terraform is missing", "no container builder", "no region", "no valid AWS cred"):
        assert part in said


def test_an_old_terraform_will_not_do(dev: Path) -> None:
    assert look(dev, terraform_version=lambda: (1, 10)).problems == [
        "Terraform is 1.10: install 1.11 or newer"
    ]


def test_an_image_that_is_there_needs_no_builder(dev: Path) -> None:
    assert look(dev, builds=False, builder=lambda: None).problems == []


def test_the_environment_may_fix_region_and_account(dev: Path) -> None:
    dev.write_text(
        NAMED + 'region = "eu-central-1"\naccount_id = "999999999999"\n', encoding="utf-8"
    )
    [region, account] = look(dev).problems
    assert "REGION is eu-west-1" in region
    assert "for the account 111122223333" in account
    findings = look(dev, region=None)
    assert findings.region == "eu-central-1"


@pytest.mark.parametrize("region", ["Ireland", "eu-west", "eu_west_1", ""])
def test_what_is_no_region(dev: Path, region: str) -> None:
    [problem] = look(dev, region=region).problems
    assert "region" in problem


@pytest.mark.parametrize("text", ["", 'environment = "production"\n', '# environment = "dev"\n'])
def test_a_file_that_was_copied_must_name_its_own_environment(dev: Path, text: str) -> None:
    dev.write_text(text, encoding="utf-8")
    [problem] = look(dev).problems
    assert 'it must be "dev"' in problem


def test_rekognition_must_be_in_the_region(dev: Path) -> None:
    dev.write_text(NAMED + "pools = { x = { detectors = {\n rekognition-labels = {}\n} } }\n")
    assert look(dev).problems == []
    [problem] = look(dev, region="eu-north-1").problems
    assert "is in eu-west-1, us-east-1" in problem
    dev.write_text(
        NAMED + "pools = { x = { detectors = { onnx-objects = {} } } } # not rekognition-x\n"
    )
    assert look(dev, region="eu-north-1").problems == []


def test_where_rekognition_is() -> None:
    assert "eu-west-1" in Account("eu-north-1").regions_with("rekognition")
    assert Account("us-gov-east-1").regions_with("rekognition") == ["us-gov-west-1"]
    assert "eu-west-1" in Account("xx-west-9").regions_with("rekognition")


def test_a_region_that_does_not_answer_is_not_taken_for_bad_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
    monkeypatch.setattr("retinue_deploy.account.ATTEMPTS", 1)
    with pytest.raises(DeployError, match=r"AWS does not answer in xx-west-9.*the region's name"):
        Account("xx-west-9").identity()
