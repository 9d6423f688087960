"""Test sets that stand in for published ones which cannot be had openly, as steps of `most data build`."""
