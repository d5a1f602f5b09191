"""Any answer instead of Rekognition's fails no image, and never counts as empty."""

import gzip
from collections.abc import Iterator

import pytest
from aws_client.server import Reply, Server, serving
from rekognition.conftest import referenced
from retinue_rekognition.custom_model import ModelApi
from retinue_rekognition.labels import LabelDetector
from retinue_rekognition.options import RekognitionOptions
from retinue_sdk import DetectorNotReadyError, RetriableError


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as known:
        yield known


def _nested(levels: int, *, lists: bool = False) -> str:
    return "[" * levels + "]" * levels if lists else '{"a":' * levels + "1" + "}" * levels


NO_ANSWERS = [
    "",
    "null",
    "[]",
    '"ok"',
    "7",
    "{}",
    '{"__type": 5}',
    '{"message": "Forbidden"}',
    '{"Labels": null}',
    '{"Labels": 5}',
    '{"Labels": {}}',
    '{"Labels": [5]}',
    '{"Labels": ["Dog"]}',
    '{"Labels": [], "LabelModelVersion": {}}',
    *(
        text % _nested(levels, lists=lists)
        for levels in (260, 500, 990, 1_010, 1_024, 100_000)
        for lists in (False, True)
        for text in (
            "%s",
            '{"Labels": %s}',
            '{"Labels": [{"Name": "Dog", "Instances": [%s]}]}',
            '{"Labels": [], "Field": %s}',
        )
    ),
]


ERROR_BODIES = [
    b"\xff\xfe",
    gzip.compress(b'{"__type": "A"}', mtime=0),
    "<html>Dienst nicht verfügbar</html>".encode("latin-1"),
    b'{"__type": ["InvalidImageFormatException"]}',
    b'{"__type": "InvalidImageFormatException"}',  # which the service says with status 400 alone
]


def labels_of(url: str) -> LabelDetector:
    return LabelDetector(LabelDetector.options_model(region="eu-west-1", endpoint_url=url))


async def test_a_success_that_is_no_answer_is_never_nothing_found(server: Server) -> None:
    detector = labels_of(server.url)
    await detector.start()
    image = referenced("a.png")
    for body in NO_ANSWERS:
        server.default = Reply(body=body.encode())
        with pytest.raises(RetriableError):
            await detector.detect(image)
    await detector.close()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
async def test_a_service_that_is_down_blames_no_image(server: Server, status: int) -> None:
    detector = labels_of(server.url)
    await detector.start()
    image = referenced("a.png")
    for body in (*ERROR_BODIES, *NO_ANSWERS):
        server.default = Reply(status, body if isinstance(body, bytes) else body.encode())
        with pytest.raises(RetriableError, match=str(status)):
            await detector.detect(image)
    await detector.close()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 407])
async def test_a_proxy_that_refuses_everything_blames_no_image(server: Server, status: int) -> None:
    detector = labels_of(server.url)
    await detector.start()
    image = referenced("a.png")
    for body in (*ERROR_BODIES[:-1], *NO_ANSWERS):
        server.default = Reply(status, body if isinstance(body, bytes) else body.encode())
        with pytest.raises(DetectorNotReadyError, match=str(status)):
            await detector.detect(image)
    await detector.close()


@pytest.mark.parametrize("status", [301, 403, 500, 503])
def test_the_api_of_models_is_told_every_answer(server: Server, status: int) -> None:
    api = ModelApi(RekognitionOptions(endpoint_url=server.url), "eu-west-1")
    for body in (*ERROR_BODIES[:-1], *NO_ANSWERS):
        server.default = Reply(status, body if isinstance(body, bytes) else body.encode())
        with pytest.raises((RetriableError, DetectorNotReadyError), match=str(status)):
            api.call("DescribeProjects", {})
    for text in NO_ANSWERS:
        server.default = Reply(body=text.encode())
        with pytest.raises(RetriableError):
            api.call("DescribeProjects", {})
