"""Tests of the learner against other libraries and public data sets (``make test-peers``)."""
