"""`most data build`: a recipe of named steps makes all that a model is trained on; the same command goes on in it."""
