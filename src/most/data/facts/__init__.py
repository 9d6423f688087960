"""A closed table of facts with many wordings, and simple manners of dialogue: text that training and tests are made of."""
