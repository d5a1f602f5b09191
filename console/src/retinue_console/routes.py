"""The route table: every page of the console, with the right that it takes."""

from retinue_console.access.identity import Right
from retinue_console.page import Route
from retinue_console.pages.costs import CostsPage, ModelsPage, costs, models
from retinue_console.pages.detectors import (
    AgreementParameters,
    DetectorParameters,
    DetectorsPage,
    agreement,
    detectors,
)
from retinue_console.pages.diff import Diff, DiffParameters, diff
from retinue_console.pages.failures import FailureParameters, FailuresPage, failures
from retinue_console.pages.gallery import Gallery, GalleryParameters, gallery
from retinue_console.pages.image import ImageParameters, ResponseParameters, image, response
from retinue_console.pages.labels import LabelParameters, LabelsPage, labels
from retinue_console.pages.overview import Newest, Overview, newest, overview
from retinue_console.pages.pictures import (
    PatchParameters,
    PictureParameters,
    ThumbnailParameters,
    original,
    patch,
    thumbnail,
    view,
)
from retinue_console.pages.runs import RunParameters, RunsPage, runs
from retinue_console.pages.search import SearchParameters, find
from retinue_console.pages.sql import SqlPage, SqlParameters, run_sql
from retinue_console.pages.video import VideoParameters, video_file
from retinue_console.queries.detectors import Agreements
from retinue_console.queries.image import Image
from retinue_console.queries.search import Found
from retinue_console.review.routes import REVIEW_ROUTES

ROUTES: tuple[Route, ...] = (
    Route(
        "/",
        overview,
        "The newest images, and how processing goes",
        Right.VIEWER,
        answer=Overview,
        has_csv=True,
        menu="Overview",
    ),
    Route(
        "/newest", newest, "The newest image, for open pages to ask", Right.VIEWER, answer=Newest
    ),
    Route(
        "/images",
        gallery,
        "Images with their detections, newest first",
        Right.VIEWER,
        parameters=GalleryParameters,
        answer=Gallery,
        has_csv=True,
        menu="Images",
    ),
    Route(
        "/images/{image_id:uuid}",
        image,
        "An image with its detections, runs and versions",
        Right.VIEWER,
        parameters=ImageParameters,
        answer=Image,
        has_csv=True,
    ),
    Route(
        "/videos/{image_id:uuid}",
        image,
        "A video with a timeline of appearances, runs and versions",
        Right.VIEWER,
        parameters=ImageParameters,
        answer=Image,
        has_csv=True,
    ),
    Route(
        "/videos/{image_id:uuid}/file",
        video_file,
        "The file of a video, or the part that the header Range names",
        Right.VIEWER,
        parameters=VideoParameters,
        is_picture=True,
    ),
    Route(
        "/images/{image_id:uuid}/responses/{run_id:int}",
        response,
        "The unprocessed answer of a detector",
        Right.VIEWER,
        parameters=ResponseParameters,
    ),
    Route(
        "/search",
        find,
        "Images, labels and words in images that a text finds",
        Right.VIEWER,
        parameters=SearchParameters,
        answer=Found,
    ),
    Route(
        "/labels",
        labels,
        "How often each label was found, day by day",
        Right.VIEWER,
        parameters=LabelParameters,
        answer=LabelsPage,
        has_csv=True,
        menu="Labels",
    ),
    Route(
        "/runs",
        runs,
        "Runs of detectors, newest first",
        Right.VIEWER,
        parameters=RunParameters,
        answer=RunsPage,
        has_csv=True,
        menu="Runs",
    ),
    Route(
        "/failures",
        failures,
        "Failures by cause, with the remedy and the command that tries again",
        Right.VIEWER,
        parameters=FailureParameters,
        answer=FailuresPage,
        has_csv=True,
        menu="Failures",
    ),
    Route(
        "/detectors",
        detectors,
        "Versions of detectors, and the drift of their findings",
        Right.VIEWER,
        parameters=DetectorParameters,
        answer=DetectorsPage,
        has_csv=True,
        menu="Detectors",
    ),
    Route(
        "/agreement",
        agreement,
        "How far two detectors agree in the newest images",
        Right.VIEWER,
        parameters=AgreementParameters,
        answer=Agreements,
        has_csv=True,
    ),
    Route(
        "/diff",
        diff,
        "Where two detectors, versions or truths differ, and in which images",
        Right.VIEWER,
        parameters=DiffParameters,
        answer=Diff,
        has_csv=True,
    ),
    Route(
        "/costs",
        costs,
        "Costs against budgets",
        Right.VIEWER,
        answer=CostsPage,
        has_csv=True,
        menu="Costs",
    ),
    Route(
        "/models",
        models,
        "Models that are hosted, and the cost of each session",
        Right.VIEWER,
        answer=ModelsPage,
        has_csv=True,
        menu="Models",
    ),
    Route(
        "/sql",
        run_sql,
        "The answer of one statement that reads",
        Right.SQL,
        parameters=SqlParameters,
        answer=SqlPage,
        has_csv=True,
        menu="SQL",
    ),
    Route(
        "/pictures/{image_id:uuid}/thumbnail",
        thumbnail,
        "A picture of at most 320 pixels, as WebP",
        Right.VIEWER,
        parameters=ThumbnailParameters,
        is_picture=True,
    ),
    Route(
        "/pictures/{image_id:uuid}/view",
        view,
        "A picture of at most 1,600 pixels, as WebP",
        Right.VIEWER,
        parameters=PictureParameters,
        is_picture=True,
    ),
    Route(
        "/pictures/{image_id:uuid}/patch",
        patch,
        "A part of a picture, at most 320 pixels, as WebP",
        Right.VIEWER,
        parameters=PatchParameters,
        is_picture=True,
    ),
    Route(
        "/pictures/{image_id:uuid}/original",
        original,
        "The file of an image",
        Right.VIEWER,
        parameters=PictureParameters,
        is_picture=True,
    ),
    *REVIEW_ROUTES,
)
"""Starlette's routes, the navigation and the OpenAPI document are made from it. Tests walk it."""
