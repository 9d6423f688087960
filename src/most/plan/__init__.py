"""What a recipe will cost before it runs: parameters, memory by part, hours, and what bounds them."""
