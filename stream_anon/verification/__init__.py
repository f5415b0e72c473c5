"""A second look: is a face of the original still open in what is about to be released?"""
