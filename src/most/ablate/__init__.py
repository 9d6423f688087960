"""`most ablate`: a grid of models that differ in one thing each, trained alike, compared item by item."""
