"""Options that no worker would start with are refused before anything is applied."""

from retinue_deploy.pool_options import option_problems


def test_good_options_and_detectors_that_only_the_image_has_pass() -> None:
    pools = {"labels": {"rekognition-labels": {"min_confidence": 0.5}, "of-a-plugin": {"x": 1}}}
    assert list(option_problems(pools, "eu-west-1")) == []


def test_each_bad_option_is_named_with_its_pool() -> None:
    pools = {
        "labels": {"rekognition-labels": {"min_confidence": 50}},
        "faces": {"rekognition-faces": {"atributes": "ALL"}, "rekognition-labls": {}},
    }
    labels, faces, unknown = option_problems(pools, "eu-west-1")
    assert labels.startswith("pool labels: detector rekognition-labels: option min_confidence:")
    assert "atributes" in faces
    assert "rekognition-labls" in unknown
