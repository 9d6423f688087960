"""A closed table of facts with many wordings, and simple manners of dialogue: text to train and to test on."""
