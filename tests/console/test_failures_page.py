"""The pages of failures and runs."""

import html

from console.conftest import HOSTILE, Client


def test_a_cause_has_its_remedy_and_leads_to_its_images(client: Client) -> None:
    said = client.get("/failures")
    [cause] = client.get("/failures.json").json()["causes"]
    assert cause["error_code"] == "corrupt_image"
    assert "Upload the complete file." in said.text
    assert cause["replay"] in html.unescape(said.text)
    runs = client.get("/failures.json?error_code=corrupt_image").json()["runs"]
    assert len(runs) == cause["images"]
    assert {HOSTILE[4]} < {run["key"] for run in runs}
    for run in runs:
        assert f"/images/{run['image_id']}" in client.get("/failures?error_code=corrupt_image").text
    assert "No failed runs that match" in client.get("/failures?detector=none").text


def test_runs(client: Client) -> None:
    data = client.get("/runs.json?outcome=failed").json()
    assert {run["outcome"] for run in data["runs"]} == {"failed"}
    assert "corrupt_image" in client.get("/runs?outcome=failed").text
    assert "Nothing matches" in client.get("/runs?detector=none").text
    for path in ("/runs?outcome=best", "/runs?after=x", "/failures?prefix=s3:///", "/runs?since=x"):
        assert client.get(path).status_code == 400
