"""S3, and a file's header, are asked once for each image, however many routes need it."""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any, cast

import pytest
from fakes.events import BUCKET
from fakes.object_store import MemoryS3, client_error, store_on
from fakes.waiting import settle
from PIL import Image as PillowImage
from retinue_sdk import Image, ImageReference, InvalidImageError, RetriableError
from retinue_workers.dispatch.routing.decide import ObjectMetadata
from retinue_workers.dispatch.routing.object_metadata import MetadataReader
from retinue_workers.intake.prefetch import Prefetch
from retinue_workers.settings.routes import Route


def photograph(width: int = 40, height: int = 30) -> bytes:
    file = BytesIO()
    PillowImage.new("RGB", (width, height)).save(file, "PNG")
    return file.getvalue()


class Rig:
    """A reader on an S3 in memory."""

    def __init__(self, **route: Any) -> None:
        self.s3 = MemoryS3()
        self.s3.create_bucket(Bucket=BUCKET)
        self.prefetch = Prefetch(threads=1, max_images=2)
        self.store = store_on(self.s3)
        routes = {"echo": Route.model_validate(route)}
        self.reader = MetadataReader(self.store, self.prefetch, routes)

    def upload(self, key: str = "a.png", **fields: Any) -> Image:
        put = self.s3.put_object(Bucket=BUCKET, Key=key, Body=photograph(), **fields)
        return self.store.image(ImageReference(BUCKET, key, etag=put["ETag"].strip('"')), None)

    def missing(self) -> Image:
        return self.store.image(ImageReference(BUCKET, "gone.png", etag="e"), None)


@asynccontextmanager
async def reading(**route: Any) -> AsyncIterator[Rig]:
    rig = Rig(**route)
    try:
        yield rig
    finally:
        rig.reader.close()
        rig.prefetch.close()


ALL = {"content_type": ["image/*"], "tags": {"kind": ["*"]}, "min_width_px": 1}


async def test_all_is_read_that_a_route_needs() -> None:
    async with reading(**ALL) as rig:
        image = rig.upload(ContentType="image/png", Metadata={"Who": "me"}, Tagging="kind=scan")
        assert await rig.reader.read(image) == ObjectMetadata(
            "image/png", {"who": "me"}, {"kind": "scan"}, (40, 30)
        )
        assert not image.is_loaded(pixels=False), "its bytes are let go"


async def test_what_no_route_needs_is_not_asked_for() -> None:
    async with reading(tags={"kind": ["*"]}) as rig:
        image = rig.upload(Tagging="kind=scan")
        assert await rig.reader.read(image) == ObjectMetadata(tags={"kind": "scan"})
        assert (rig.s3.heads, rig.s3.gets) == ([], [])


async def test_routes_share_an_answer_and_one_that_stops_waiting_costs_the_others_nothing() -> None:
    go = threading.Event()
    async with reading(content_type=["*"]) as rig:
        image = rig.upload(ContentType="image/png")
        rig.s3.fault = lambda *_: cast("None", go.wait(10))
        readers = [asyncio.create_task(rig.reader.read(image)) for _ in range(3)]
        await settle()
        readers[0].cancel()
        await settle()
        go.set()
        for reader in readers[1:]:
            assert (await reader).content_type == "image/png"
        assert (await rig.reader.read(image)).content_type == "image/png"
        assert len(rig.s3.heads) == 1


async def test_an_error_is_not_remembered() -> None:
    async with reading(content_type=["*"]) as rig:
        image = rig.upload(ContentType="image/png")

        def refuse(*_: object) -> None:
            raise client_error("SlowDown", 503)

        rig.s3.fault = refuse
        with pytest.raises(RetriableError):
            await rig.reader.read(image)
        rig.s3.fault = None
        assert (await rig.reader.read(image)).content_type == "image/png"


@pytest.mark.parametrize("route", [{"content_type": ["*"]}, {"min_width_px": 1}])
async def test_an_image_that_cannot_be_read_is_let_go(route: dict[str, Any]) -> None:
    async with reading(**route) as rig:
        images = []
        for _ in range(3):
            image = rig.missing()
            images.append(weakref.ref(image))
            try:  # pytest.raises would keep the traceback
                await rig.reader.read(image)
            except InvalidImageError:
                pass
            else:
                raise AssertionError("it was read")
        del image
        await settle()
        gc.collect()
        assert [one() for one in images] == [None] * 3
