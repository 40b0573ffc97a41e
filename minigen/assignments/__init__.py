"""Assignments made from the one source tree: handed out with bodies cut, graded by properties, audited.

An assignment is a manifest (`manifest.Assignment`); there are no solution markers in the source.
"""
