"""RDS's certificate authorities are compared with AWS's, and AWS's are taken."""

from pathlib import Path

import pytest
import trustme
from retinue_deploy.certificates import BUNDLE, fingerprints, renew
from retinue_deploy.errors import DeployError


def authority() -> str:
    return trustme.CA().cert_pem.bytes().decode()


def test_what_differs_is_counted_and_replaced(tmp_path: Path) -> None:
    kept, ours, theirs, more = (authority() for _ in range(4))
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(kept + ours)
    assert renew(bundle, lambda: theirs + kept + more) == (2, 1)
    assert bundle.read_text() == theirs + kept + more
    assert renew(bundle, lambda: kept + more + theirs) == (0, 0)
    assert bundle.read_text() == theirs + kept + more


@pytest.mark.parametrize(
    "answer",
    ["<html>sign in</html>", "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n"],
)
def test_an_answer_that_is_none_changes_nothing(tmp_path: Path, answer: str) -> None:
    before = authority()
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(before)
    with pytest.raises(DeployError, match="certificate"):
        renew(bundle, lambda: answer)
    assert bundle.read_text() == before


def test_the_bundle_of_the_image_can_be_read() -> None:
    assert len(fingerprints((Path(__file__).parents[2] / BUNDLE).read_text("ascii"))) > 50
