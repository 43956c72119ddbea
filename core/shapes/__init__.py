"""What payloads a handler takes, as a worker tells it to whoever submits.

A shape is a handler's payload type without its code: made from the type where the handler is, and
made a type again where jobs are submitted, so that there, too, msgspec decides. What cannot be
told stands as `any`: a shape takes all that its type takes, and perhaps more.
"""

from .building import type_of
from .shape import Shape, Told, digest_of, read_document, read_told
from .telling import document_of, tell

__all__ = [
    "Shape",
    "Told",
    "digest_of",
    "document_of",
    "read_document",
    "read_told",
    "tell",
    "type_of",
]
