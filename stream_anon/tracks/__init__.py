"""The Tracks file: what analysis found, for a person to look through and for painting to read.

JSON Lines: a header, a line a frame, a trailer with counts; then edits, which are only ever
appended. It tells where every person was in every frame, so it is personal data.
"""
