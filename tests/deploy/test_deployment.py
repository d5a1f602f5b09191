"""The order of a deployment, and that it goes on wherever it broke off."""

import pytest
from deploy.world import REVISIONS, BrokenError, Cloud, Silent
from hypothesis import given
from hypothesis import strategies as st
from retinue_deploy.deployment import deploy
from retinue_deploy.errors import DeployError, TaskFailedError
from retinue_deploy.review import Review

ACCOUNT = "123456789012"
ORDER = ["ensure", "check", "wanted_vcpus", "variants", "missing", "build", "push", "plan",
         "variants", "keep",
         "plan", "apply migrations", "migrate", "plan", "apply", "wait", "smoke"]  # fmt: skip


def run(cloud: Cloud, tag: str = "new", wanted: str | None = None) -> Silent:
    told = Silent()
    deploy(cloud.world(), told, lambda: tag, wanted, quota_vcpus=6)
    return told


def test_the_database_is_migrated_before_services_get_the_image() -> None:
    cloud = Cloud()
    run(cloud)
    assert cloud.calls == ORDER
    assert (cloud.revision, cloud.service, cloud.looked) == (2, "new", True)


def test_doing_it_again_builds_nothing() -> None:
    cloud = Cloud()
    run(cloud)
    cloud.calls.clear()
    told = run(cloud)
    assert "build" not in cloud.calls
    assert "push" not in cloud.calls
    assert any("in the registry already" in line for line in told.lines)


@given(
    first=st.integers(0, len(ORDER) - 1),
    second=st.integers(0, len(ORDER) - 1) | st.none(),
    after=st.booleans(),
    before=st.booleans(),
)
def test_whatever_breaks_the_next_attempt_gets_there(
    first: int, second: int | None, after: bool, before: bool
) -> None:
    cloud = Cloud()
    if before:
        run(cloud, "old")
    for fault in (first, second):
        if fault is None:
            continue
        cloud.calls.clear()
        cloud.breaks_at, cloud.after = fault, after
        try:
            run(cloud)
        except BrokenError:
            served = REVISIONS[cloud.service] if cloud.service else 0
            assert cloud.revision >= served, "a service must not run ahead of its schema"
    cloud.calls.clear()
    cloud.breaks_at = None
    run(cloud)
    assert (cloud.revision, cloud.service, cloud.looked) == (2, "new", True)
    assert cloud.tags >= {"new"}


def test_a_failed_migration_leaves_the_services_as_they_were() -> None:
    cloud = Cloud(broken=frozenset({"new"}))
    run(cloud, "old")
    with pytest.raises(
        TaskFailedError, match=r"no such column\n.*services keep the previous version"
    ):
        run(cloud)
    assert (cloud.revision, cloud.service) == (1, "old")


def test_an_earlier_tag_rolls_back() -> None:
    cloud = Cloud()
    run(cloud, "old")
    cloud.tags.add("older")
    REVISIONS["older"] = 1
    run(cloud, wanted="older")
    assert cloud.service == "older"
    assert cloud.calls.count("build") == 1


def test_rolling_back_past_a_migration_is_refused_before_services_change() -> None:
    cloud = Cloud()
    run(cloud, "old")
    run(cloud, "new")
    with pytest.raises(TaskFailedError, match="newer"):
        run(cloud, wanted="old")
    assert cloud.service == "new"


def test_a_tag_that_does_not_exist_ends_it_early() -> None:
    cloud = Cloud()
    run(cloud, "old")
    cloud.calls.clear()
    with pytest.raises(DeployError, match=r"no container image 1\.0 .*it has old\. Set IMAGE_TAG"):
        run(cloud, wanted="1.0")
    assert "plan" not in cloud.calls


def test_a_pool_with_a_gpu_wants_the_other_variant_too() -> None:
    cloud = Cloud(cuda=True)
    run(cloud)
    assert cloud.tags == {"new", "new-cuda"}
    cloud.tags.remove("new-cuda")
    cloud.calls.clear()
    run(cloud)
    assert cloud.calls.count("build") == 1


def test_what_holds_data_is_never_destroyed() -> None:
    cloud = Cloud(lost=("module.database.aws_db_instance.this",))
    with pytest.raises(DeployError, match=r"aws_db_instance\.this"):
        run(cloud)
    assert "apply migrations" not in cloud.calls


def test_a_queue_with_its_messages_is_destroyed_only_on_request() -> None:
    cloud = Cloud(disrupted=('module.pool["labels"].aws_sqs_queue.this',))
    with pytest.raises(DeployError, match=r"labels(.|\n)*make deploy ALLOW_DELETE=1"):
        run(cloud)
    assert "apply migrations" not in cloud.calls
    deploy(cloud.world(), Silent(), lambda: "new", None, allow_delete=True)
    assert cloud.service == "new"


def test_a_quota_that_is_too_small_ends_it_before_anything_is_built() -> None:
    cloud = Cloud(vcpus=8)
    with pytest.raises(DeployError, match="8 vCPUs together, and Fargate's quota here is 6"):
        run(cloud)
    assert "build" not in cloud.calls


def test_a_protected_environment_gets_the_reviewed_changes_and_no_others() -> None:
    cloud = Cloud(protected=True)
    with pytest.raises(DeployError, match="must be reviewed: run `make image plan ENV=test`"):
        run(cloud)
    assert "build" not in cloud.calls
    after = {"value": "reviewed"}
    change = {"actions": ["create"], "after": after, "after_unknown": {"id": True}}
    review = Review("test", ACCOUNT, "eu-west-1", "new", {"a": change})
    deploy(cloud.world(), Silent(), lambda: "new", None, review=review)
    assert cloud.service == "new"
    later = Cloud(protected=True, change="other")
    with pytest.raises(DeployError, match="since the plan was reviewed:\n    a\nNone of these"):
        deploy(later.world(), Silent(), lambda: "new", None, review=review)
    assert "apply migrations" not in later.calls


def test_a_container_image_that_another_signed_is_not_deployed() -> None:
    cloud = Cloud(signed=frozenset({"old"}))
    run(cloud, "old")
    with pytest.raises(DeployError, match="new has no signature"):
        run(cloud)
    assert cloud.service == "old"
    assert cloud.calls[-1] == "variants", "nothing else happens"
