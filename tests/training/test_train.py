"""Training: everything is checked before anything costs money; then it is followed to its end."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from retinue_cli.data.ground_truth import Annotations, Problems
from retinue_cli.training.errors import TrainingError
from retinue_cli.training.follow import follow
from retinue_cli.training.service import CustomLabels
from retinue_rekognition_emulator import Endpoint, Failure
from training.conftest import Clock, picture

Cli = Callable[..., Result]
Bucket = tuple[Any, str]


def coco(bucket: str, images: int = 6) -> Path:
    """Return two labels in turn, a box each."""
    path = Path("truth.json")
    path.write_text(
        json.dumps(
            {
                "images": [
                    {
                        "id": number,
                        "file_name": f"{number}.jpg",
                        "coco_url": f"s3://{bucket}/{number}.jpg",
                        "width": 100,
                        "height": 80,
                    }
                    for number in range(images)
                ],
                "categories": [{"id": 1, "name": "nut"}, {"id": 2, "name": "bolt"}],
                "annotations": [
                    {
                        "id": number,
                        "image_id": number,
                        "category_id": 1 + number % 2,
                        "bbox": [10.4, 10.6, 30, 20],
                    }
                    for number in range(images)
                ],
            }
        ),
        "utf-8",
    )
    return path


def test_from_coco_to_a_trained_model(cli: Cli, bucket: Bucket, endpoint: Endpoint) -> None:
    s3, name = bucket
    for number in range(6):
        s3.put_object(Bucket=name, Key=f"{number}.jpg", Body=picture())
    endpoint.operations.projects.training.f1_scores.append(0.875)
    begin = ["models", "train", "parts", "--from", coco(name), "--output", f"s3://{name}/out/"]

    estimate = json.loads(cli(*begin, "--dry-run", "--version", "v1", "--json").stdout)
    assert (estimate["images"], estimate["boxes"], estimate["labels"]) == (6, 6, 2)
    assert estimate["estimate_usd"] == [0.5, 24.0]
    said = cli(*begin, "--dry-run", "--version", "v1").stdout
    assert "parts v1: 6 images, 2 labels, 6 boxes" in said
    assert "so $0.50 to $24.00" in said
    assert "nothing was created" in said
    assert set(endpoint.calls) == set()

    asked = cli(*begin, exit_code=2).stderr
    assert "pass --yes" in asked
    assert "CreateProject" not in endpoint.calls

    said = cli(*begin, "--yes", "--version", "v1", "--poll", "0.01").stdout
    assert "TRAINING_COMPLETED" in said
    assert "F1 0.875" in said
    assert f"s3://{name}/out/parts/v1/EvaluationResult.json" in said
    assert "billed: 2 h 00 min, about $2.00" in said
    project = endpoint.operations.versions.projects["parts"]
    train, test = endpoint.operations.projects.datasets.of(project)
    assert (len(train.entries), len(test.entries)) == (5, 1)
    line = json.loads(train.entries[f"s3://{name}/0.jpg"])
    assert line["bounding-box"]["annotations"] == [
        {"class_id": 1, "left": 10, "top": 11, "width": 30, "height": 20}
    ]
    Path("back.manifest").write_text("\n".join(train.entries.values()), "utf-8")
    problems = Problems()
    assert len(Annotations.read(Path("back.manifest"), problems).images) == 5
    assert not problems

    # The same name again tells how it ended, and begins nothing.
    calls = endpoint.calls["CreateProjectVersion"]
    assert "F1 0.875" in cli("models", "train", "parts", "--version", "v1").stdout
    trained = json.loads(cli("models", "train", "parts", "--version", "v1", "--json").stdout)
    assert (trained["status"], trained["f1"]) == ("TRAINING_COMPLETED", 0.875)
    assert (trained["billed_seconds"], trained["price_usd"]) == (7_200, 2.0)
    assert endpoint.calls["CreateProjectVersion"] == calls == 1


def test_the_command_again_follows_the_running_training(
    cli: Cli, bucket: Bucket, endpoint: Endpoint
) -> None:
    s3, name = bucket
    folder = Path("photos")
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for number in range(3):
            (folder / label / f"{number}.jpg").write_bytes(picture(100 + number))
    begin = ["models", "train", "pets", "--from", folder, "--output", f"s3://{name}/", "--yes"]
    # The answer is lost, but the training has begun: the command ends, and the next one finds it.
    lost = Failure("InvalidParameterException", took_effect=True)
    endpoint.faults.fail_next("CreateProjectVersion", lost)
    cli(*begin, "--poll", "0.01", exit_code=1)
    again = cli("models", "train", "pets", "--poll", "0.01").stdout
    assert "which was started earlier" in again
    assert "TRAINING_COMPLETED" in again
    assert endpoint.calls["CreateProjectVersion"] == 1
    assert s3.get_object(Bucket=name, Key="pets/images/cat/0.jpg")["Body"].read() == picture(100)
    project = endpoint.operations.versions.projects["pets"]
    [version] = project.versions.values()
    assert version.labels == ("cat", "dog")

    # Another version of the same data takes the same datasets; other data wants to be asked for.
    assert "already have these images" in cli(*begin, "--version", "v2", "--poll", "0.01").stdout
    (folder / "cat" / "new.jpg").write_bytes(picture())
    refused = cli(*begin, "--version", "v3", exit_code=2).stderr
    assert "--replace-datasets" in refused
    replaced = cli(*begin, "--version", "v3", "--replace-datasets", "--poll", "0.01").stdout
    assert "TRAINING_COMPLETED" in replaced


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_made(
    cli: Cli, bucket: Bucket, endpoint: Endpoint
) -> None:
    s3, name = bucket
    for key, body in {
        "0.jpg": picture(100, 60),
        "1.jpg": picture(4_097, 100),
        "2.jpg": picture(format_="GIF"),
        "3.jpg": picture() + bytes(15 * 2**20),
        "4.jpg": b"no image",
    }.items():
        s3.put_object(Bucket=name, Key=key, Body=body)
    path = coco(name)
    content = json.loads(path.read_text("utf-8"))
    content["annotations"][3]["bbox"] = [10, 10, 0.2, 20]
    content["images"].append(content["images"][0] | {"id": 99})
    path.write_text(json.dumps(content), "utf-8")
    begin = ["models", "train", "parts", "--from", path, "--output", f"s3://{name}/", "--yes"]
    said = cli(*begin, exit_code=2).stderr
    for problem in (
        "image with a side shorter than 64 px",
        "image with a side longer than 4,096 px",
        "image longer than 20 times its width",
        "image that is neither JPEG nor PNG",
        "image larger than 15 MB",
        "image that cannot be read",
        "image whose size differs from its annotations",
        "image that is there more than once",
        "box smaller than a pixel",
    ):
        assert problem in said
    assert "nothing was created or billed" in said
    assert not [call for call in endpoint.calls if call.startswith("Create")]

    content["annotations"][0]["bbox"] = [90, 10, 30, 20]
    content["annotations"][1]["category_id"] = 7
    path.write_text(json.dumps(content), "utf-8")
    said = cli(*begin, exit_code=2).stderr
    assert "box outside its image: annotation 0" in said
    assert "annotation of a category that the file does not have: 1" in said


def test_a_test_part_that_shows_nothing_has_the_form_of_the_other(
    cli: Cli, bucket: Bucket, endpoint: Endpoint
) -> None:
    s3, name = bucket
    for number in range(6):
        s3.put_object(Bucket=name, Key=f"{number}.jpg", Body=picture())
    whole = json.loads(coco(name).read_text("utf-8"))
    tested = whole | {"images": whole["images"][4:], "annotations": whole["annotations"][5:]}
    Path("test.json").write_text(json.dumps(tested), "utf-8")
    learned = whole | {"images": whole["images"][:4], "annotations": whole["annotations"][:4]}
    Path("learn.json").write_text(json.dumps(learned), "utf-8")
    train = ["models", "train", "parts", "--from", "learn.json", "--test", "test.json", "--yes",
             "--output", f"s3://{name}/", "--poll", "0.01"]  # fmt: skip
    told = cli(*train).stdout
    assert "TRAINING_COMPLETED" in told
    assert "1 image without a label" in told
    project = endpoint.operations.versions.projects["parts"]
    _, part = endpoint.operations.projects.datasets.of(project)
    [empty] = [line for uri, line in part.entries.items() if uri.endswith("4.jpg")]
    assert json.loads(empty)["bounding-box"]["annotations"] == []

    tested["annotations"] = []
    Path("test.json").write_text(json.dumps(tested), "utf-8")
    said = cli(*train, "--replace-datasets", exit_code=2).stderr
    assert "test images with fewer than 50% of the labels: 0 of 2 labels in 2 images" in said
    tested["images"][0]["coco_url"] = "s3://elsewhere/4.jpg"
    Path("test.json").write_text(json.dumps(tested), "utf-8")
    said = cli(*train, "--replace-datasets", exit_code=2).stderr
    assert "image outside elsewhere, the others' bucket" in said


def test_the_service_refuses_parts_that_do_not_belong_together(
    rekognition: Any, bucket: Bucket, endpoint: Endpoint
) -> None:
    def line(bucket: str, key: str, label: str) -> str:
        metadata = {"class-name": label, "type": "groundtruth/image-classification"}
        uri = f"s3://{bucket}/{key}"
        return json.dumps({"source-ref": uri, "label": 1, "label-metadata": metadata})

    s3, name = bucket
    good = [line(name, f"{label}.jpg", label) for label in "abcd"]
    for project, test, message in (
        ("covered", [line(name, f"{label}2.jpg", label) for label in "ab"], "COMPLETED"),
        ("overlap", [line(name, "a2.jpg", "a")], "Less than 50% label overlap"),
        ("buckets", [line(f"other{one}", "a.jpg", one) for one in "ab"], "multiple S3 buckets"),
    ):
        arn = rekognition.create_project(ProjectName=project)["ProjectArn"]
        for kind, lines in (("TRAIN", good), ("TEST", test)):
            s3.put_object(Bucket=name, Key=kind, Body="\n".join(lines).encode())
            source = {"GroundTruthManifest": {"S3Object": {"Bucket": name, "Name": kind}}}
            made = rekognition.create_dataset(
                ProjectArn=arn, DatasetType=kind, DatasetSource=source
            )["DatasetArn"]
            CustomLabels(rekognition, lambda _: None).wait_for_dataset(made)
        output = {"S3Bucket": name, "S3KeyPrefix": "out"}
        rekognition.create_project_version(ProjectArn=arn, VersionName="v", OutputConfig=output)
        told: dict[str, Any] = {"Status": "TRAINING_IN_PROGRESS"}
        while told["Status"] == "TRAINING_IN_PROGRESS":
            found = rekognition.describe_project_versions(ProjectArn=arn)
            [told] = found["ProjectVersionDescriptions"]
        assert message in f"{told['Status']} {told['StatusMessage']}"


def test_following_outlasts_twelve_hours_and_silence(
    service: CustomLabels, rekognition: Any, endpoint: Endpoint, clock: Clock
) -> None:
    training = endpoint.operations.projects.training
    training.seconds = 20 * 3_600
    project = trainable(rekognition)
    service.train(project, "v1", "a-bucket", "out/")
    endpoint.faults.fail_next("DescribeProjectVersions", *[Failure("AccessDeniedException")] * 3)
    seen: list[float] = []

    def look(version: Any, seconds: float) -> None:
        seen.append(clock.now - version.created_at.timestamp())

    version = follow(service, project, "v1", look, every_seconds=60, sleep=clock.sleep)
    assert version.status == "TRAINING_COMPLETED"
    assert seen[-1] > 19 * 3_600
    assert max(b - a for a, b in itertools.pairwise(seen)) < 3_600

    training.failing.append("The manifest file has too many invalid rows.")
    service.train(project, "v2", "a-bucket", "out/")
    with pytest.raises(TrainingError, match="too many invalid rows"):
        follow(service, project, "v2", look, every_seconds=600, sleep=clock.sleep)
    endpoint.faults.fail_always("DescribeProjectVersions", Failure("AccessDeniedException"))
    with pytest.raises(TrainingError, match=r"continues\. Run the command again"):
        follow(service, project, "v1", look, every_seconds=600, sleep=clock.sleep)


def trainable(rekognition: Any) -> str:
    """Return the ARN of a project with datasets."""
    project = str(rekognition.create_project(ProjectName="parts")["ProjectArn"])
    for kind in ("TRAIN", "TEST"):
        made = rekognition.create_dataset(ProjectArn=project, DatasetType=kind)["DatasetArn"]
        rekognition.describe_dataset(DatasetArn=made)
        lines = "\n".join(
            json.dumps(
                {
                    "source-ref": f"s3://b/{kind}{number}.jpg",
                    "c": 1,
                    "c-metadata": {
                        "class-name": ["nut", "bolt"][number % 2],
                        "type": "groundtruth/image-classification",
                    },
                }
            )
            for number in range(4)
        )
        rekognition.update_dataset_entries(DatasetArn=made, Changes={"GroundTruth": lines.encode()})
        rekognition.describe_dataset(DatasetArn=made)
    return project


def test_the_endpoint_keeps_datasets_and_quotas(
    rekognition: Any, endpoint: Endpoint, clock: Clock
) -> None:
    def refused(operation: Callable[..., Any], **parameters: Any) -> str:
        with pytest.raises(rekognition.exceptions.ClientError) as failed:
            operation(**parameters)
        return str(failed.value.response["Error"]["Code"])

    clock.step = 0
    project = rekognition.create_project(ProjectName="parts")["ProjectArn"]
    assert refused(rekognition.create_project, ProjectName="parts") == "ResourceInUseException"
    train = rekognition.create_dataset(ProjectArn=project, DatasetType="TRAIN")["DatasetArn"]
    again = refused(rekognition.create_dataset, ProjectArn=project, DatasetType="TRAIN")
    assert again == "ResourceAlreadyExistsException"
    early = refused(rekognition.list_dataset_entries, DatasetArn=train)
    assert early == "ResourceNotReadyException"
    changes = {"GroundTruth": b'{"source-ref": "http://b/k.jpg"}\n{"a": 1}'}
    busy = refused(rekognition.update_dataset_entries, DatasetArn=train, Changes=changes)
    assert busy == "ResourceInUseException"
    clock.now += 60
    rekognition.update_dataset_entries(DatasetArn=train, Changes=changes)
    clock.now += 60
    told = rekognition.describe_dataset(DatasetArn=train)["DatasetDescription"]
    assert told["Status"] == "UPDATE_COMPLETE"
    assert told["DatasetStats"] == {
        "TotalEntries": 2, "LabeledEntries": 0, "ErrorEntries": 2, "TotalLabels": 0
    }  # fmt: skip
    [bad] = rekognition.list_dataset_entries(
        DatasetArn=train, HasErrors=True, SourceRefContains="http", MaxResults=1
    )["DatasetEntries"]
    assert json.loads(bad) == {"source-ref": "http://b/k.jpg"}
    nonsense = refused(
        rekognition.update_dataset_entries, DatasetArn=train, Changes={"GroundTruth": b"nonsense"}
    )
    assert nonsense == "InvalidParameterException"
    test = rekognition.create_dataset(ProjectArn=project, DatasetType="TEST")["DatasetArn"]
    both = [{"Arn": train}, {"Arn": test}]
    unready = refused(rekognition.distribute_dataset_entries, Datasets=both)
    assert unready == "ResourceNotReadyException"
    clock.now += 60
    output = {"OutputConfig": {"S3Bucket": "a-bucket"}, "ProjectArn": project}
    versions = [
        rekognition.create_project_version(VersionName=f"v{number}", **output)["ProjectVersionArn"]
        for number in range(2)
    ]
    third = refused(rekognition.create_project_version, VersionName="v3", **output)
    assert third == "LimitExceededException"
    assert refused(rekognition.delete_dataset, DatasetArn=train) == "ResourceInUseException"
    in_use = refused(rekognition.delete_project_version, ProjectVersionArn=versions[0])
    assert in_use == "ResourceInUseException"
    clock.now += endpoint.operations.projects.training.seconds
    described = rekognition.describe_project_versions(ProjectArn=project)
    statuses = {one["Status"] for one in described["ProjectVersionDescriptions"]}
    assert statuses == {"TRAINING_FAILED"}  # nothing but refused entries
    for version in versions:
        rekognition.delete_project_version(ProjectVersionArn=version)
    assert refused(rekognition.delete_project, ProjectArn=project) == "ResourceInUseException"
    clock.now += 60
    rekognition.delete_project(ProjectArn=project)
    assert rekognition.describe_projects()["ProjectDescriptions"] == []
