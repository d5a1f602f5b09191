"""The part of the route table that is about reviews."""

from retinue_history.review.agreement import Agreement

from retinue_console.access.identity import Right
from retinue_console.page import Route
from retinue_console.pages.audit import Audit, AuditParameters, audit
from retinue_console.review.bodies import ReleaseBody, SaveBody, SkipBody, UndoBody
from retinue_console.review.pages import (
    QueueBody,
    QueueParameters,
    Queues,
    Review,
    TaskParameters,
    end_queue,
    give_back,
    list_queues,
    make_queue,
    pass_over,
    review,
    save,
    show_agreement,
    take_back,
)

REVIEW_ROUTES: tuple[Route, ...] = (
    Route(
        "/review",
        list_queues,
        "Queues of images to review, with their progress",
        Right.REVIEWER,
        answer=Queues,
        has_csv=True,
        menu="Review",
    ),
    Route(
        "/review",
        make_queue,
        "Make a queue",
        Right.ADMIN,
        method="POST",
        body=QueueBody,
    ),
    Route(
        "/review/{queue}",
        review,
        "The next image of a queue, which is leased to the person who asks",
        Right.REVIEWER,
        parameters=TaskParameters,
        answer=Review,
    ),
    Route(
        "/review/{queue}/agreement",
        show_agreement,
        "How far people agree",
        Right.REVIEWER,
        parameters=QueueParameters,
        answer=Agreement,
    ),
    Route(
        "/review/{queue}/save",
        save,
        "Save an answer about an image",
        Right.REVIEWER,
        parameters=QueueParameters,
        method="POST",
        body=SaveBody,
    ),
    Route(
        "/review/{queue}/skip",
        pass_over,
        "Pass an image over",
        Right.REVIEWER,
        parameters=QueueParameters,
        method="POST",
        body=SkipBody,
    ),
    Route(
        "/review/{queue}/undo",
        take_back,
        "Take an answer of one's own back",
        Right.REVIEWER,
        parameters=QueueParameters,
        method="POST",
        body=UndoBody,
    ),
    Route(
        "/review/{queue}/release",
        give_back,
        "Give an image back unanswered",
        Right.REVIEWER,
        parameters=QueueParameters,
        method="POST",
        body=ReleaseBody,
    ),
    Route(
        "/review/{queue}/close",
        end_queue,
        "Close a queue, so that it gives out no more images",
        Right.ADMIN,
        parameters=QueueParameters,
        method="POST",
    ),
    Route(
        "/audit",
        audit,
        "Who did what in the console",
        Right.ADMIN,
        parameters=AuditParameters,
        answer=Audit,
        has_csv=True,
        menu="Audit",
    ),
)
