"""Projections of users' own: tables made of the same archive, beside the built-in ones.

from millstream.projections.own import Batch, Projection
"""

from .projection import Batch, Projection, ProjectionUnfit

__all__ = ["Batch", "Projection", "ProjectionUnfit"]
