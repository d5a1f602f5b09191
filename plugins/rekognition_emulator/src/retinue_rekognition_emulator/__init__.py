"""An emulator of Amazon Rekognition for tests and ``retinue run``: its wire protocol, without AWS.

``python -m retinue_rekognition_emulator`` runs it as a program. It measures colours, brightness and
the places of detail. It invents everything else, always the same for the same bytes.
"""

from retinue_rekognition_emulator.faults import Failure, JobFault, MessageFault, ObjectFault
from retinue_rekognition_emulator.images import StoredObject
from retinue_rekognition_emulator.server import Endpoint

__all__ = ["Endpoint", "Failure", "JobFault", "MessageFault", "ObjectFault", "StoredObject"]
